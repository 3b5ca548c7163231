"""The networks that are compared: torchvision's definitions without auxiliary heads, MobileNet-V1 as hitgate runs it,
and the small network of Ke et al."""

from dataclasses import dataclass
from typing import Callable

import torch
import torchvision.models as vision
from torch import nn

from network import CLASSES, MobileNetV1

N = len(CLASSES)


@dataclass(frozen=True)
class Entry:
    """One network: what it is called, the side of its maps, the layers that the paper counts, how it is made."""

    title: str
    side: int
    paper_layers: int | None
    # Takes channels in; gives a module of maps [n, channels, side, side] to logits [n, 3].
    make: Callable[[int], nn.Module]
    # Without batch norm a network from scratch does not bear the rate of the others.
    normed: bool = True


def with_channels(model: nn.Module, channels: int) -> nn.Module:
    """The same network with another number of channels in: its first convolution is made anew."""
    name, first = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=first.bias is not None
    )
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)
    return model


def inception_v1(channels: int) -> nn.Module:
    return with_channels(
        vision.googlenet(num_classes=N, aux_logits=False, init_weights=True, transform_input=False), channels
    )


def inception_v3(channels: int) -> nn.Module:
    return with_channels(
        vision.inception_v3(num_classes=N, aux_logits=False, init_weights=True, transform_input=False), channels
    )


def ke2018(channels: int) -> nn.Module:
    """Ke et al., J. Synchrotron Rad. 25, 655 (2018), for crops of 720 x 720: four convolutions, one dense layer.

    Layers after their own definition, cnn/models/simple_cnn.lua of github nksauter/fv5080 (BSD-3); its last
    LogSoftMax is part of the loss here.
    """

    def stage(inputs, outputs, kernel, pool, pad):
        return [
            nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(pool, 2, pad, ceil_mode=True),
        ]

    return nn.Sequential(
        *stage(channels, 4, 7, 3, 1),
        *stage(4, 8, 3, 2, 0),
        *stage(8, 16, 3, 2, 0),
        *stage(16, 32, 3, 2, 0),
        nn.Flatten(),
        nn.Linear(32 * 3 * 3, N),
    )


NETWORKS = {
    "mobilenet-v1": Entry("MobileNet-V1", 224, 28, lambda channels: MobileNetV1(1.0, channels)),
    "inception-v1": Entry("Inception-v1", 224, 22, inception_v1),
    "inception-v3": Entry("Inception-v3", 299, 46, inception_v3),
    "vgg16": Entry("VGG16", 224, 16, lambda c: with_channels(vision.vgg16(num_classes=N), c), normed=False),
    "resnet101": Entry("ResNet101", 224, 101, lambda c: with_channels(vision.resnet101(num_classes=N), c)),
    "alexnet": Entry("AlexNet", 227, 8, lambda c: with_channels(vision.alexnet(num_classes=N), c), normed=False),
    "ke2018": Entry("Ke et al. 2018", 720, None, ke2018),
}


def head(model: nn.Module) -> nn.Linear:
    """The layer that gives the logits; what goes into it are the features."""
    return [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == N][-1]


@torch.no_grad()
def size_of(model: nn.Module, channels: int, side: int) -> dict:
    """Parameters, multiply-adds of one map, and layers with weights."""
    counted = {"multiply_adds": 0, "weighted_layers": 0}

    def count(layer, _, output):
        taps = layer.weight[0].numel()
        counted["multiply_adds"] += taps * output[0].numel()
        counted["weighted_layers"] += 1

    # MobileNet's heads that count spots are for training alone, and are not run.
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    model.eval()(torch.zeros(1, channels, side, side))
    for hook in hooks:
        hook.remove()
    used = sum(p.numel() for name, p in model.named_parameters() if "count" not in name)
    return counted | {"parameters": used}


def depth_of(model: nn.Module, channels: int, side: int) -> int:
    """Layers with weights on the longest way through a network: what is meant by a network of 22 layers."""
    # The way that a gradient takes back is the way there.
    end = model.eval()(torch.zeros(1, channels, side, side, requires_grad=True)).grad_fn
    depth, stack = {}, [end]
    while stack:
        node = stack[-1]
        before = [other for other, _ in node.next_functions if other]
        unknown = [other for other in before if other not in depth]
        stack += unknown
        if not unknown:
            layer = node.name() in ("ConvolutionBackward0", "AddmmBackward0")
            depth[stack.pop()] = max((depth[other] for other in before), default=0) + layer
    return depth[end]

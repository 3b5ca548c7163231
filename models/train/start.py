"""Weights to begin with: those of checkpoints, or of a model that was exported, widened where it is narrower."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

SPREAD = 0.5
"""Standard deviation of the share of a channel's copy, in units of its mean."""
MAPS_TO_MEASURE = 512
"""Maps that tell how a channel is spread: enough for its mean and variance, some seconds of work."""


def averaged(checkpoints: list[Path]) -> dict:
    """The mean of the averaged weights of runs that began alike."""
    states = [torch.load(path, map_location="cpu", weights_only=True)["average"] for path in checkpoints]
    return {name: torch.stack([state[name].float() for state in states]).mean(0).to(first.dtype) for name, first in states[0].items()}


@torch.no_grad()
def take_exported(model: nn.Module, path: Path, maps: torch.Tensor):
    """Gives `model` the weights of an exported network; `maps` are some that it is to learn from.

    Batch norms were folded when it was exported. They are put back such that the network answers as it did, and that
    training, where a norm goes by the batch at hand, does not change it at once: as if each had seen `maps`. The heads that
    count spots are not exported, and begin anew. A narrower network is widened first, which changes no answer either.
    """
    graph = onnx.load(path).graph
    weights = {weight.name: torch.from_numpy(np.array(numpy_helper.to_array(weight))) for weight in graph.initializer}
    told = [[weights[name] for name in node.input[1:]] for node in graph.node if node.op_type in ("Conv", "Gemm")]
    parts = [part for part in model.modules() if isinstance(part, nn.Sequential) and isinstance(part[0], nn.Conv2d)]
    wanted = [part[0].weight.shape for part in parts] + [model.head.weight.shape]
    if len(told) == len(wanted) and told[0][0].shape[1:] == wanted[0][1:]:
        told = [(widened(weight, shape), repeated(bias, shape[0])) for (weight, bias), shape in zip(told, wanted)]
    if [weight.shape for weight, _ in told] != wanted:
        raise SystemExit(f"{path}: its layers are not those of this network; are --width, --input and the maps' channels its own?")
    *convolutions, (weight, bias) = told
    model.head.weight.copy_(weight)
    model.head.bias.copy_(bias)
    model.eval()
    for part, (weight, bias) in zip(parts, convolutions):
        convolution, norm, _ = part
        convolution.weight.copy_(weight)
        norm.bias.copy_(bias)
        norm.register_forward_pre_hook(unfold)
    model(maps)
    for _, norm, _ in parts:
        norm._forward_pre_hooks.clear()


def widened(weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """A layer's `weight` for `shape`, each channel of it in as many copies as fit (Chen, Goodfellow and Shlens 2016, Net2Net).

    What reads a channel's copies divides what it made of the channel among them, unevenly and by chance: the sum, and so the
    answer, is as it was, and the copies learn apart.
    """
    narrow, copies = weight.shape[1], shape[1] // weight.shape[1]
    if copies > 1:
        shares = 1 / copies + SPREAD / copies * torch.randn(len(weight), copies, narrow, *weight.shape[2:])
        shares += (1 - shares.sum(1, keepdim=True)) / copies
        weight = (weight[:, None] * shares).flatten(1, 2)
    return repeated(weight, shape[0])


def repeated(channels: torch.Tensor, count: int) -> torch.Tensor:
    """All channels of a layer, again and again until there are `count`."""
    return torch.cat([channels] * max(1, count // len(channels)))


def unfold(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor]):
    """Sets a norm to the statistics of what it is given, and to let all of it pass but for its bias."""
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.add_(mean)

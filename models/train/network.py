"""MobileNet-V1 as hitgate runs it: any width, any input size, one to four channels, three classes."""

import torch
from torch import nn

CLASSES = ("hit", "maybe", "miss")
STEM_CHANNELS = 32
# (output channels at width 1, stride) of the thirteen depthwise-separable blocks.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier: the nearest multiple of eight (halves up), eight at least."""
    return max(8, 8 * int(channels * width / 8 + 0.5))


class Rounded(torch.autograd.Function):
    """Rounds to whole steps; the gradient passes as if it did not (straight-through)."""

    @staticmethod
    def forward(ctx, x, step):
        return x.div(step).round_().mul_(step)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Rectifier(nn.Module):
    """ReLU, and on demand the rounding that seven bits will cost, so that training learns to live with it.

    `step` [1, channels, 1, 1] is the value of one bit in each channel. It is no part of the network: what is exported
    is the ReLU, and the importer finds its own.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("step", torch.zeros(1, channels, 1, 1), persistent=False)
        self.mode = "exact"

    def forward(self, x):
        x = x.relu_()
        if self.mode == "measure":
            self.step = torch.maximum(self.step, x.amax((0, 2, 3), keepdim=True) / 127)
        if self.mode == "rounded":
            return Rounded.apply(x, self.step)
        return x


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; padding is one on all sides of a 3 x 3 and none of a 1 x 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        Rectifier(outputs),
    )


class MobileNetV1(nn.Module):
    """Maps f32 [n, channels, size, size] in 0..=1 to logits [n, 3], in the order of CLASSES.

    A second head, for training alone, guesses log2(1 + spots): a class says little about 300 spots, a count says
    what to look for.
    """

    def __init__(self, width: float, channels: int = 1):
        super().__init__()
        wide = scaled(STEM_CHANNELS, width)
        self.stem = conv(channels, wide, 3, stride=2)
        self.blocks = nn.ModuleList()
        for outputs, stride in BLOCKS:
            outputs = scaled(outputs, width)
            self.blocks.append(
                nn.Sequential(conv(wide, wide, 3, stride, groups=wide), conv(wide, outputs, 1))
            )
            wide = outputs
        self.head = nn.Linear(wide, len(CLASSES))
        self.count = nn.Linear(wide, 1)

    def rectifiers(self) -> list[Rectifier]:
        return [module for module in self.modules() if isinstance(module, Rectifier)]

    def features(self, maps):
        x = self.stem(maps)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))

    def forward(self, maps):
        return self.head(self.features(maps))

    def with_count(self, maps):
        """Logits, and log2(1 + spots) [n]."""
        features = self.features(maps)
        return self.head(features), self.count(features)[:, 0]

"""MobileNet-V1 as hitgate runs it: any width, any input size, one to four channels, three classes."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLASSES = ("hit", "maybe", "miss")
STEM_CHANNELS = 32
# (output channels at width 1, stride) of the thirteen depthwise-separable blocks.
MIDDLE = 5
"""Blocks up to the middle, where a place stands for 8 x 8 cells."""
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


def settled(part: nn.Module) -> nn.Module:
    """A copy that does what `part` does once it is trained: batch norms folded into the convolutions before them."""
    if isinstance(part[0], nn.Conv2d):
        convolution, norm, _ = copy.deepcopy(part).eval()
        return nn.Sequential(fuse_conv_bn_eval(convolution, norm), nn.ReLU(inplace=True)).requires_grad_(False)
    return nn.Sequential(*map(settled, part))


class MobileNetV1(nn.Module):
    """Maps f32 [n, channels, size, size] in 0..=1 to logits [n, 3], in the order of CLASSES.

    Two more heads, for training alone, guess how many spots there are at each place, in the middle of the network and
    at its end: a class says little about 300 spots, their places say what to look for.

    `size` is the side of the maps that the network is for. It may learn from smaller squares of them: features are
    summed over the places and divided by the places of a whole map, so that as many spots make as much of them.
    """

    def __init__(self, width: float, channels: int = 1, size: int = 224):
        super().__init__()
        self.places = (-(-size // 32)) ** 2
        self.fixed = None
        wide = scaled(STEM_CHANNELS, width)
        self.stem = conv(channels, wide, 3, stride=2)
        self.blocks = nn.Sequential()
        for number, (outputs, stride) in enumerate(BLOCKS, 1):
            outputs = scaled(outputs, width)
            self.blocks.append(
                nn.Sequential(conv(wide, wide, 3, stride, groups=wide), conv(wide, outputs, 1))
            )
            wide = outputs
            if number == MIDDLE:
                self.middle_count = nn.Conv2d(wide, 1, 1)
        self.head = nn.Linear(wide, len(CLASSES))
        self.count = nn.Conv2d(wide, 1, 1)

    def fix_beginning(self):
        """From now on only what comes after the middle learns. The beginning holds nearly all cells, and most of the work."""
        # In a tuple, which the module does not look into: the weights stay where they are.
        self.fixed = (nn.Sequential(*map(settled, [self.stem, *self.blocks[:MIDDLE]])),)

    def middle(self, maps):
        """What the stem and the blocks up to the middle make of the maps."""
        if self.fixed:
            with torch.no_grad():
                return self.fixed[0](maps)
        return self.blocks[:MIDDLE](self.stem(maps))

    def ends(self, maps):
        """What the middle and the end of the network make of the maps."""
        middle = self.middle(maps)
        return middle, self.blocks[MIDDLE:](middle)

    def pooled(self, end):
        return end.sum((2, 3)) / self.places

    def features(self, maps):
        """What the head judges by: f32 [n, channels]."""
        return self.pooled(self.ends(maps)[1])

    def forward(self, maps):
        # The mean is what the exporter and the importer know.
        return self.head(self.ends(maps)[1].mean((2, 3)))

    def with_counts(self, maps):
        """Logits, and the logarithm of the expected spots by place, for each of maps.GRIDS."""
        middle, end = self.ends(maps)
        counts = [self.middle_count(middle)[:, 0], self.count(end)[:, 0]]
        return self.head(self.pooled(end)), counts

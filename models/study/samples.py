"""The paper's samples: copies of a frame, turned, moved and zoomed, and its split of them."""

import numpy as np
from scipy.ndimage import affine_transform

from maps import Maps

# 2,000 frames become 42,000 samples.
COPIES = 21
SHARES = (0.7, 0.2, 0.1)
# The paper's figure 3: flip, degrees counter-clockwise, columns to the right, rows down.
SHOWN = (
    (False, 0, 0, 0),
    (True, 0, 0, 0),
    (False, 90, 0, 0),
    (False, 25, 10, 0),
    (False, -110, 5, 5),
    (False, -60, 0, 0),
)
ANGLES = (0, 90, 25, -110, -60)


def moved(image: np.ndarray, flip: bool, degrees: float, right: float, down: float, zoom: float = 1.0) -> np.ndarray:
    """A map u8 [side, side], mirrored, turned about its centre, shifted and zoomed; what comes in from outside is 0."""
    if flip:
        image = image[:, ::-1]
    if (degrees, right, down, zoom) == (0, 0, 0, 1.0):
        return image.copy()
    angle = np.deg2rad(degrees)
    # From a pixel of the result to the one that it is taken from; rows count downwards.
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - back @ (centre + (down, right))
    return affine_transform(image, back, offset, order=1)


def copy_settings(frame: int, copy: int, seed: int) -> tuple:
    """How a copy of a frame differs from it: the first six as the paper shows them, the others drawn from its range."""
    if copy < len(SHOWN):
        return SHOWN[copy]
    rng = np.random.default_rng((seed, frame, copy))
    right, down = rng.integers(-10, 11, 2)
    return bool(rng.integers(2)), ANGLES[rng.integers(len(ANGLES))], right, down, rng.uniform(0.9, 1.1)


class Copies:
    """Maps with their copies: sample i is copy i mod 21 of map i div 21. Looks like `Maps`."""

    def __init__(self, maps: Maps, seed: int):
        self.maps, self.seed = maps, seed
        self.classes = np.repeat(maps.classes, COPIES)
        # Where the spots of the frame are, not of its copy: nobody learns places here, their number makes the class.
        self.places = [places for places in maps.places for _ in range(COPIES)]
        self.side, self.channels = maps.side, maps.channels

    def __len__(self):
        return len(self.classes)

    def read(self, indices: np.ndarray) -> np.ndarray:
        frames, copies = np.divmod(indices, COPIES)
        out = self.maps.read(frames)
        for sample, frame, copy in zip(out, frames, copies):
            settings = copy_settings(int(frame), int(copy), self.seed)
            sample[:] = [moved(channel, *settings) for channel in sample]
        return out


class Part:
    """Some of the maps. Looks like `Maps`."""

    def __init__(self, maps, indices: np.ndarray):
        self.maps, self.indices = maps, indices
        self.classes, self.places = maps.classes[indices], [maps.places[index] for index in indices]
        self.side, self.channels = maps.side, maps.channels

    def __len__(self):
        return len(self.indices)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.maps.read(self.indices[indices])


def split(copies: Copies, after: bool, seed: int) -> list[Part]:
    """Training, validation and test samples, 7:2:1: drawn from all copies as in the paper, or frame by frame."""
    units = len(copies) if after else len(copies.maps)
    order = np.random.default_rng((seed, 2)).permutation(units)
    ends = np.round(np.cumsum(SHARES) * units).astype(int)
    parts = np.split(order, ends[:-1])
    if not after:
        parts = [(part[:, None] * COPIES + np.arange(COPIES)).ravel() for part in parts]
    return [Part(copies, part) for part in parts]


def shared(test: Part, train: Part) -> float:
    """Share of the test samples of which another copy is in training."""
    return float(np.isin(test.indices // COPIES, train.indices // COPIES).mean())

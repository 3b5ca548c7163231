"""Prepared maps on disk, as `hitgate dataset OUT` writes them: OUT.npy (u8 [n, side, side · channels], 0..=127, the channels of a cell side by side) beside OUT.jsonl."""

import glob
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from network import CLASSES

FULL_SCALE = 127.0


@dataclass
class Maps:
    """Shards laid end to end, or some of their maps; the pixels stay on disk until a batch asks for them."""

    shards: list
    starts: np.ndarray
    kept: np.ndarray
    """Of each map, its number among all maps of the shards."""
    classes: np.ndarray
    sets: np.ndarray
    """Of each map, the name of its set: its detector, where it is simulated."""
    places: list
    """Of each map, where its spots are: f32 [spots, 2], x and y in cells; None where nobody knows, as of labelled files."""

    def __len__(self):
        return len(self.classes)

    @property
    def side(self) -> int:
        return self.shards[0].shape[-1]

    @property
    def channels(self) -> int:
        return self.shards[0].shape[1]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Maps u8 [len(indices), channels, side, side], in the order asked for."""
        out = np.empty((len(indices), *self.shards[0].shape[1:]), np.uint8)
        indices = self.kept[indices]
        shard = np.searchsorted(self.starts, indices, side="right") - 1
        for k in np.unique(shard):
            here = np.flatnonzero(shard == k)
            out[here] = self.shards[k][indices[here] - self.starts[k]]
        return out

    def without(self, sets: list[str]) -> "Maps":
        """The maps of all other sets."""
        others = np.flatnonzero(~np.isin(self.sets, sets))
        places = [self.places[index] for index in others]
        return replace(self, kept=self.kept[others], classes=self.classes[others], sets=self.sets[others], places=places)


def open_maps(patterns: list[str], side: int) -> Maps:
    """Memory-map every shard that the glob patterns name; each must hold square maps of `side` pixels."""
    paths = sorted({Path(name) for pattern in patterns for name in glob.glob(pattern)})
    if not paths:
        raise SystemExit(f"no file matches {' '.join(patterns)}: give the .npy files of `hitgate dataset`")
    shards, classes, sets, places = [], [], [], []
    for path in paths:
        maps, labels = open_shard(path, side)
        shards.append(maps)
        classes += [CLASSES.index(label["class"]) for label in labels]
        sets += [label.get("set", "") for label in labels]
        places += [places_of(label) for label in labels]
    starts = np.concatenate([[0], np.cumsum([len(maps) for maps in shards])[:-1]])
    return Maps(shards, starts, np.arange(len(classes)), np.array(classes, np.int64), np.array(sets), places)


def open_shard(path: Path, side: int):
    """One shard's maps [n, channels, side, side] and their labels; the label file must have a line for each map."""
    maps = np.load(path, mmap_mode="r")
    if maps.dtype != np.uint8 or maps.ndim != 3 or maps.shape[1] != side or maps.shape[2] % side:
        raise SystemExit(f"{path}: {maps.dtype} {maps.shape} found, uint8 maps of {side} x {side} wanted (see --input)")
    maps = np.moveaxis(maps.reshape(len(maps), side, side, -1), -1, 1)
    sidecar = path.with_suffix(".jsonl")
    if not sidecar.exists():
        raise SystemExit(f"{sidecar}: no such file: copy it from where {path} is from, or make both again where `hitgate dataset` was killed")
    with open(sidecar) as lines:
        labels = [json.loads(line) for line in lines]
    if [label["index"] for label in labels] != list(range(len(maps))):
        raise SystemExit(f"{sidecar}: its indices do not count the {len(maps)} maps of {path}")
    unknown = {label["class"] for label in labels} - set(CLASSES)
    if unknown:
        raise SystemExit(f"{sidecar}: class {unknown.pop()!r} found, one of {', '.join(CLASSES)} wanted")
    for label in labels:
        at, spots = label.get("at"), label.get("spots")
        if at is not None and spots is not None and len(at) != spots:
            raise SystemExit(f"{sidecar}: map {label['index']} has {spots} spots but {len(at)} places in `at`")
    return maps, labels


def places_of(label: dict) -> np.ndarray | None:
    """What a label says of where the spots are: a simulator knows, whoever labelled a file does not."""
    at = label.get("at")
    return None if at is None else np.array(at, np.float32).reshape(-1, 2)


@dataclass
class Batch:
    """What one step learns from."""

    maps: np.ndarray
    """u8 [n, channels, side, side]"""
    classes: np.ndarray
    """i64 [n]: what the spots on these cells make of them"""
    placed: np.ndarray
    """bool [n]: whether it is known where the spots are"""
    counts: list
    """Spots by place, for each of GRIDS: f32 [n, side / grid, side / grid], rounded up; zeros where it is not known"""


GRIDS = (8, 32)
"""Cells along the squares that spots are counted in: the reach of the network's middle and of its end."""


class Mixture:
    """Batches with a fixed share of each class; batch s is a function of the seed and s alone, so a resumed run
    sees exactly what an uninterrupted one would.

    Each class is gone through in an order shuffled anew each round: a rare class comes round more often, and no map
    is left out.
    """

    def __init__(self, maps: Maps, batch: int, shares: list[float], seed: int, turns: int = 8):
        """`shares` of hit, maybe and miss in a batch; `turns` of the eight symmetries of a square, 1 for none."""
        self.maps, self.seed, self.turns = maps, seed, turns
        self.members = [np.flatnonzero(maps.classes == c) for c in range(len(CLASSES))]
        for name, members, share in zip(CLASSES, self.members, shares):
            if share and not len(members):
                raise SystemExit(f"no map of class {name} among the training maps: more frames are needed, or a --mix without it")
        edges = np.round(np.cumsum([0.0, *shares]) / sum(shares) * batch).astype(int)
        self.counts = np.diff(edges)
        self.orders = {}

    def batch(self, step: int, side: int | None = None) -> Batch:
        """Maps turned or mirrored at random; with `side`, a square of so many cells of each, anywhere.

        A whole map has the class of its label; that of a square is counted, which wants the places of all spots.
        """
        picks = np.concatenate([self._pick(c, step) for c in range(len(CLASSES))])
        rng = np.random.default_rng((self.seed, 1, step))
        squares = side is not None
        side = side or self.maps.side
        whole = self.maps.read(picks)
        maps = np.empty((*whole.shape[:2], side, side), np.uint8)
        spots = np.zeros(len(picks), np.int64)
        placed = np.array([self.maps.places[pick] is not None for pick in picks])
        counts = [np.zeros((len(picks), -(-side // grid), -(-side // grid)), np.float32) for grid in GRIDS]
        for i, pick in enumerate(picks):
            left, top = rng.integers(self.maps.side - side + 1, size=2)
            turn = int(rng.integers(self.turns))
            maps[i] = turned(whole[i, :, top : top + side, left : left + side], turn)
            if not placed[i]:
                continue
            x, y = (self.maps.places[pick] - (left, top)).T
            x, y = turned_places(x, y, side, turn)
            inside = (x >= 0) & (y >= 0) & (x < side) & (y < side)
            spots[i] = inside.sum()
            for grid, count in zip(GRIDS, counts):
                np.add.at(count[i], ((y[inside] / grid).astype(int), (x[inside] / grid).astype(int)), 1)
        return Batch(maps, class_of(spots) if squares else self.maps.classes[picks], placed, counts)

    def _pick(self, c: int, step: int) -> np.ndarray:
        first = step * self.counts[c]
        rounds, places = np.divmod(np.arange(first, first + self.counts[c]), len(self.members[c]))
        return np.array([self._order(c, r)[p] for r, p in zip(rounds, places)], np.int64)

    def _order(self, c: int, r: int) -> np.ndarray:
        current = self.orders.get(c)
        if current is None or current[0] != r:
            rng = np.random.default_rng((self.seed, 0, c, int(r)))
            self.orders[c] = current = (r, rng.permutation(self.members[c]))
        return current[1]


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight symmetries of a square: the only changes that move no count between pixels."""
    if turn & 4:
        image = image[..., ::-1]
    return np.rot90(image, turn & 3, (-2, -1)).copy()


def turned_places(x: np.ndarray, y: np.ndarray, side: int, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """Where `turned` puts what was at x, y of a square of `side` cells."""
    if turn & 4:
        x = side - x
    for _ in range(turn & 3):
        x, y = y, side - x
    return x, y


def class_of(spots: np.ndarray) -> np.ndarray:
    """Index in CLASSES: ten spots are a hit, four a maybe."""
    return np.select([spots >= 10, spots >= 4], [CLASSES.index("hit"), CLASSES.index("maybe")], CLASSES.index("miss"))

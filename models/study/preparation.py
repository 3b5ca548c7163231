"""Which preparation shows spots best? A plain classifier on the sorted largest levels of each map, cross-validated.

    cargo run --release -p hitgate-sim --example reductions 21 training 0 2380 224 f224
    python preparation.py f224 [f448 ...]

The classifier sees no places: what it gains, a preparation gives. What only a network can learn, such as what a jet streak
looks like, it does not measure.
"""

import json
import sys

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

FEATURES = ("count", "sum2", "sum3", "sum5", "rest3", "mean")
CLASSES = ("hit", "maybe", "miss")
INVALID = 65535
LARGEST = 48


def box(values: np.ndarray, reach: int) -> np.ndarray:
    """Sums over the (2 reach + 1)² neighbourhood in the last two axes, zero outside."""
    side = 2 * reach + 1
    for axis in (-1, -2):
        pad = [(0, 0)] * values.ndim
        pad[axis] = (reach + 1, reach)
        sums = np.pad(values, pad).cumsum(axis, dtype=np.float64)
        length = values.shape[axis]
        values = np.take(sums, range(side, side + length), axis) - np.take(sums, range(length), axis)
    return values.astype(np.float32)


def contrast(cells: np.ndarray, reach=3, unit: int | None = 8, clip=4, floor=13 / 64, root=True) -> np.ndarray:
    """Distance from the mean of the cells within `reach`, in units of the mean absolute deviation: that of the cells within
    `unit`, each cut to `clip` times the map's, or (None) that of the map."""
    valid = cells != INVALID
    numbers = valid.astype(np.float32)
    y = np.where(valid, np.sqrt(cells.astype(np.float32) + 0.375) if root else cells.astype(np.float32), 0)
    d = np.where(valid, y - box(y, reach) / np.maximum(box(numbers, reach), 1), 0)
    deviation = np.abs(d)
    scale = deviation.sum((-1, -2), keepdims=True) / np.maximum(numbers.sum((-1, -2), keepdims=True), 1)
    if unit is not None:
        cut = np.minimum(deviation, clip * np.maximum(scale, floor))
        scale = box(cut, unit) / np.maximum(box(numbers, unit), 1)
    return np.where(valid, d / np.maximum(scale, floor), -99)


def poisson(cells: np.ndarray, mean: np.ndarray, pixels: int) -> np.ndarray:
    """Distance of a sum of so many pixels from what the neighbourhood's mean makes expect, on the root scale, in its own noise."""
    valid = cells != INVALID
    m = np.where(valid, mean.astype(np.float32) / 16, 0)
    background = box(m, 1) / np.maximum(box(valid.astype(np.float32), 1), 1)
    d = np.where(valid, np.sqrt(cells.astype(np.float32) + 0.375) - np.sqrt(pixels * background + 0.375), 0)
    scale = np.abs(d - np.median(d[valid]) if valid.any() else d)
    return np.where(valid, d / max(float(scale[valid].mean()) if valid.any() else 1, 13 / 64), -99)


def largest(levels: np.ndarray) -> np.ndarray:
    """The largest levels in order, and the bulk by its quantiles."""
    flat = levels.reshape(len(levels), -1)
    top = -np.sort(-np.partition(flat, -LARGEST, axis=1)[:, -LARGEST:], axis=1)
    bulk = np.stack([np.quantile(row[row > -50], (0.1, 0.5, 0.9, 0.99)) if (row > -50).any() else np.zeros(4) for row in flat])
    return np.hstack([np.clip(top, -10, 60), bulk])


def equalized(cells: np.ndarray) -> np.ndarray:
    """The paper's grey levels, 0..127."""
    out = np.full(cells.shape, -99, np.float32)
    for one, levels in zip(cells, out):
        valid = one != INVALID
        if valid.any():
            values, inverse, counts = np.unique(one[valid], return_inverse=True, return_counts=True)
            levels[valid] = np.floor(np.cumsum(counts) * 127.0 / valid.sum())[inverse]
    return out


def of(name, **how):
    return lambda cells: contrast(cells[name], **how)


def over_mean(name, pixels):
    return lambda cells: np.stack([poisson(a, b, pixels) for a, b in zip(cells[name], cells["mean"])])


CHANNELS = {
    "mean, equalized": lambda cells: equalized(cells["mean"]),
    "count, equalized": lambda cells: equalized(cells["count"]),
    **{name: of(name, unit=None) for name in FEATURES},
    "count, reach 5": of("count", reach=5, unit=None),
    "sum3, reach 5": of("sum3", reach=5, unit=None),
    "sum3, no root": of("sum3", root=False, unit=None),
    "sum3 over the blocks' mean": over_mean("sum3", 9),
    "sum3, unit of 41 cells": of("sum3", unit=20),
    **{name + ", unit of 17 cells": of(name) for name in ("count", "sum2", "sum3", "rest3")},
    "rest3, unit of 11 cells": of("rest3", unit=5),
    "rest3, unit of 17 cells, cut at 2": of("rest3", clip=2),
    "rest3, unit of 17 cells, reach 2": of("rest3", reach=2),
}
NEAR = ", unit of 17 cells"
PREPARATIONS = [
    *[(name,) for name in CHANNELS],
    ("count", "sum3"),
    ("count", "rest3"),
    ("sum3", "rest3"),
    ("count", "sum3", "rest3"),
    ("count" + NEAR, "rest3" + NEAR),
    ("sum2" + NEAR, "rest3" + NEAR),
    ("sum3" + NEAR, "rest3" + NEAR),
]


def judged(probabilities: np.ndarray, classes: np.ndarray) -> str:
    keep = 1 - probabilities[:, 2]
    wanted, misses = keep[classes != 2], np.sort(keep[classes == 2])
    order = np.searchsorted(misses, wanted, "left") + np.searchsorted(misses, wanted, "right")
    auc = order.mean() / (2 * len(misses))
    row = f"{(probabilities.argmax(1) == classes).mean():.3f} | {auc:.4f}"
    for rejection in (0.90, 0.97):
        t = misses[int(np.ceil(rejection * len(misses))) - 1]
        row += f" | {(keep[classes == 0] > t).mean():.3f} | {(wanted > t).mean():.3f}"
    return row


def main():
    print("| input | preparation | three classes | AUC | hits at 0.90 | hit or maybe | hits at 0.97 | hit or maybe |")
    print("|---|---|---|---|---|---|---|---|")
    for path in sys.argv[1:]:
        stack = np.load(path + ".npy", mmap_mode="r")
        labels = [json.loads(line) for line in open(path + ".jsonl")]
        classes = np.array([CLASSES.index(label["class"]) for label in labels])
        chunks = np.array_split(np.arange(len(classes)), max(1, len(classes) // 100))

        def features(channel: str) -> np.ndarray:
            parts = ({name: np.asarray(stack[chunk, k]) for k, name in enumerate(FEATURES)} for chunk in chunks)
            return np.vstack([largest(CHANNELS[channel](cells)) for cells in parts])

        known = {}
        for channels in PREPARATIONS:
            for channel in channels:
                if channel not in known:
                    known[channel] = features(channel)
            model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, max_leaf_nodes=15, random_state=0)
            folds = StratifiedKFold(5, shuffle=True, random_state=0)
            probabilities = cross_val_predict(model, np.hstack([known[channel] for channel in channels]), classes, cv=folds, method="predict_proba")
            print(f"| {stack.shape[-1]} | {' + '.join(channels)} | {judged(probabilities, classes)} |", flush=True)


if __name__ == "__main__":
    main()

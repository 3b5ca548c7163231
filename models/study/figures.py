"""The paper's figures, as small PNG files."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import results
from maps import open_maps
from network import CLASSES
from samples import SHOWN, moved

# The paper shows a frame of a CCD.
CCD = "ccd1024"
COLOURS = ("#c0392b", "#e8a33d", "#2c6fa6")


def save(figure, path: Path):
    """With 256 colours: a third of the bytes."""
    figure.savefig(path, dpi=90, bbox_inches="tight")
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def images(rows: int, columns: int, size: float = 2.2):
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, size * rows + 0.3), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def show(axis, image: np.ndarray, title: str = "", top: float | None = None):
    axis.imshow(image, cmap="gray", vmin=0, vmax=top)
    axis.set_title(title, fontsize=8)


def equalized(counts: np.ndarray, levels: int = 256) -> np.ndarray:
    """f(a) = H[a] (K - 1) / (M N), with H the number of pixels of at most a counts."""
    values, inverse, numbers = np.unique(counts, return_inverse=True, return_counts=True)
    return (np.cumsum(numbers) * (levels - 1) // counts.size)[inverse].reshape(counts.shape)


def spot_counts(maps) -> np.ndarray:
    return np.array([len(places) for places in maps.places])


def of_data(folder: Path, mode, study):
    """Figures 1 to 3: what the frames look like, and what is done to them."""
    frames = study.work / f"frames-{CCD}"
    if not (frames / "truth.jsonl").exists():
        study.hitgate("simulate", frames, "--replace", "--frames", 24, "--detector", CCD, "--format", "npy", "--seed", 76)
    labels = [json.loads(line) for line in (frames / "truth.jsonl").read_text().splitlines()]
    best = max(labels, key=lambda label: label["spots"])
    counts = np.load(frames / best["file"])
    counts = counts[best["index"]] if counts.ndim == 3 else counts
    step = -(-max(counts.shape) // 512)
    after = equalized(counts)
    figure, axes = images(1, 2, 4.0)
    show(axes[0, 0], counts[::step, ::step], f"{CCD}, {best['spots']} spots: counts, 0 to {int(counts.max())}")
    show(axes[0, 1], after[::step, ::step], "equalized to 256 grey levels")
    save(figure, folder / "figure-1.png")

    equal = study.maps("test", 224, "max", mode.sets[:1])
    spots = spot_counts(equal)
    figure, axes = images(1, 3, 3.0)
    for c, axis in enumerate(axes[0]):
        of_class = np.flatnonzero(equal.classes == c)
        if len(of_class):
            place = of_class[spots[of_class].argmax()]
            show(axis, equal.read(np.array([place]))[0, 0], f"{CLASSES[c]}, {spots[place]} spots", 127)
    save(figure, folder / "figure-2.png")

    image = equal.read(np.array([spots.argmax()]))[0, 0]
    words = (
        "original",
        "flipped",
        "90° counter-clockwise",
        "25° counter-clockwise, 10 right",
        "110° clockwise, 5 right, 5 down",
        "60° clockwise",
    )
    figure, axes = images(2, 3, 2.6)
    for axis, settings, title in zip(axes.flat, SHOWN, words):
        show(axis, moved(image, *settings), title, 127)
    save(figure, folder / "figure-3.png")

    mobile = [run for run in results.load(folder)[0] if run.network == "mobilenet-v1"]
    if mobile:
        sorted_examples(folder, mobile[0], study)


def sorted_examples(folder: Path, run, study):
    """Figure 9: maps by their score, evenly over the ranks of each class."""
    score = run.test.keep
    maps = open_maps([str(study.joined_test(224, "peaks"))], 224)
    spots = spot_counts(maps)
    figure, axes = images(3, 6, 1.9)
    for c in range(3):
        order = np.flatnonzero(maps.classes == c)
        order = order[score[order].argsort()]
        for axis, place in zip(
            axes[c], order[np.linspace(0, len(order) - 1, min(6, len(order))).astype(int)] if len(order) else []
        ):
            show(
                axis, maps.read(np.array([place]))[0, 0], f"{CLASSES[c]}, {spots[place]} spots: {score[place]:.2f}", 127
            )
    save(figure, folder / "figure-9.png")


def rate_of(times: dict, title: str) -> float:
    """Maps a second; NaN, which draws nothing, where there is no time."""
    return 1 / times.get(title, np.nan)


def of_runs(folder: Path, ours: list, times: dict):
    """Figures 5 to 8: what the networks do, and how fast, by `results.engines`."""
    titles, sets = [run.title for run in ours], ours[0].about["sets"]

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(2, 1), layout="constrained")
    for s, name in enumerate(sets):
        heights = [np.divide(*run.on_set(s).right()) for run in ours]
        left.bar(
            np.arange(len(ours)) + (s - len(sets) / 2 + 0.5) * 0.8 / len(sets), heights, 0.8 / len(sets), label=name
        )
    # Room for the legend above the bars.
    left.set(ylabel="three-class accuracy", ylim=(0, 1.2))
    left.set_xticks(range(len(ours)), titles, rotation=25, ha="right")
    left.legend(fontsize=7, ncols=2)
    fastest = times.get(("ONNX Runtime", "1"), {})
    right.barh(titles, [rate_of(fastest, title) for title in titles], color="#555555")
    right.set(xlabel="maps a second, ONNX Runtime, one thread", xscale="log")
    right.invert_yaxis()
    save(figure, folder / "figure-5.png")

    figure, axes = images(2, -(-len(ours) // 2), 2.6)
    for axis, run in zip(axes.flat, ours):
        at, classes = run.arrays["embedding"], run.arrays["classes"]
        for c, colour in enumerate(COLOURS):
            axis.scatter(*at[classes == c].T, s=5, c=colour, label=CLASSES[c])
        k, n = run.about["knn"]["features"]
        axis.set_title(f"{run.title}\nten nearest: {k / n:.2f}", fontsize=8)
    axes[0, 0].legend(fontsize=6, loc="upper left")
    save(figure, folder / "figure-6.png")

    figure, axis = plt.subplots(figsize=(8, 3.8))
    macs = [run.about["size"]["multiply_adds"] for run in ours]
    for (engine, batch), of in times.items():
        axis.plot(macs, [rate_of(of, title) for title in titles], "o", label=f"{engine}, batch {batch}")
    highest = [max([rate_of(of, title) for of in times.values() if title in of], default=1) for title in titles]
    for x, y, title in zip(macs, highest, titles):
        axis.annotate(title, (x, y), xytext=(-2, 6), textcoords="offset points", rotation=35, fontsize=7)
    axis.set(xlabel="multiply-adds of a map", ylabel="maps a second", xscale="log", yscale="log")
    axis.margins(0.12, 0.3)
    axis.legend(fontsize=7)
    save(figure, folder / "figure-7.png")

    figure, axis = plt.subplots(figsize=(4.6, 4.2))
    axis.plot([0, 1], [0, 1], color="#bbbbbb")
    for run in ours:
        rows, error = run.test.reliability()
        mean, share, _ = zip(*rows)
        axis.plot(mean, share, "o-", ms=3, lw=1, label=f"{run.title}, {error:.3f}")
    axis.set(xlabel="P(hit) + P(maybe)", ylabel="share of hits or maybes", xlim=(0, 1), ylim=(0, 1))
    axis.legend(fontsize=6, title="expected calibration error", title_fontsize=6)
    save(figure, folder / "figure-8.png")

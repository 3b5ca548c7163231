"""The runs that were kept: what was measured, logits, and what follows from them."""

import json
from pathlib import Path

import numpy as np
from scipy.special import softmax

import metrics
import train
from embed import neighbours, picture
from networks import NETWORKS


class Results:
    """A kept run."""

    def __init__(self, path: Path):
        self.about = json.loads(path.read_text())
        self.arrays = dict(np.load(path.with_suffix(".npz")))
        self.network = self.about["network"]
        self.title = NETWORKS[self.network].title
        self.test = Scores(self.arrays["logits"], self.arrays["classes"])

    def fresh(self) -> "Scores":
        """Of frames that were in no split."""
        return Scores(self.arrays["fresh_logits"], self.arrays["fresh_classes"])

    def on_set(self, number: int) -> "Scores":
        here = self.arrays["sets"] == number
        return Scores(self.arrays["logits"][here], self.arrays["classes"][here])


class Scores:
    """What a network says of maps whose class is known."""

    def __init__(self, logits: np.ndarray, classes: np.ndarray):
        self.p, self.classes = softmax(logits.astype(float), axis=1), classes
        # P(hit) + P(maybe)
        self.keep = self.p[:, metrics.HIT] + self.p[:, metrics.MAYBE]
        self.wanted = classes != metrics.MISS

    def right(self) -> tuple[int, int]:
        """k of n maps whose class of three is right."""
        return int((self.p.argmax(1) == self.classes).sum()), len(self.classes)

    def auc(self) -> float:
        return metrics.auc(self.keep, self.wanted)

    def kept(self) -> tuple[int, int]:
        """k of n hits or maybes that the paper's rule keeps."""
        return int((self.keep >= 0.5)[self.wanted].sum()), int(self.wanted.sum())

    def dropped(self) -> tuple[int, int]:
        """k of n misses that it drops."""
        return int((self.keep < 0.5)[~self.wanted].sum()), int((~self.wanted).sum())

    def confusion(self) -> np.ndarray:
        """Maps of each label (row) by called class."""
        bins = np.arange(4)
        return np.histogram2d(self.classes, self.p.argmax(1), bins=(bins, bins))[0].astype(int)

    def reliability(self, bins: int = 10) -> tuple[list, float]:
        """Bins of P(hit) + P(maybe) as (mean, share of hits or maybes, maps); and the expected calibration error."""
        place = np.minimum((self.keep * bins).astype(int), bins - 1)
        members = [place == b for b in np.unique(place)]
        rows = [(self.keep[m].mean(), self.wanted[m].mean(), int(m.sum())) for m in members]
        return rows, sum(n * abs(mean - share) for mean, share, n in rows) / len(self.keep)


def draw_pictures(folder: Path, seed: int):
    """Pictures of the features of runs that have none yet; they are kept in place of the features, which are larger."""
    for path in sorted((folder / "runs").glob("hitgate-*.json")):
        about, npz = json.loads(path.read_text()), path.with_suffix(".npz")
        arrays = dict(np.load(npz))
        if "embedding" not in arrays:
            arrays["embedding"] = picture(arrays.pop("features"), seed)
            train.replace(npz, lambda new: save_arrays(new, arrays))
        if "picture" not in about["knn"]:
            about["knn"]["picture"] = neighbours(arrays["embedding"], arrays["classes"])
            train.replace(path, lambda new: new.write_text(json.dumps(about, indent=1) + "\n"))


def save_arrays(path: Path, arrays: dict):
    # To a file that is open, savez adds no suffix.
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def load(folder: Path) -> tuple[list[Results], list[Results]]:
    """Runs by hitgate's recipe in the order of NETWORKS, and by the paper's."""
    runs = [Results(path) for path in sorted((folder / "runs").glob("*.json"))]
    runs.sort(key=lambda run: (list(NETWORKS).index(run.network), run.about["run"]))
    ours = [run for run in runs if run.about["recipe"] == "hitgate"]
    return ours, [run for run in runs if run.about["recipe"] == "paper"]


def engines(ours: list[Results]) -> dict:
    """(engine, batch) -> seconds a map of each network, by title."""
    found = {}
    for run in ours:
        for engine, batches in run.about["seconds"].items():
            for batch, seconds in batches.items():
                found.setdefault((engine, batch), {})[run.title] = seconds
    return found

"""What a filter is judged by. Scores are p_hit + p_maybe; a frame is kept when its score reaches the threshold."""

import numpy as np

HIT, MAYBE, MISS = range(3)


def auc(score: np.ndarray, wanted: np.ndarray) -> float:
    """Chance that a wanted frame scores above an unwanted one; ties count half (Mann-Whitney U)."""
    values, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m = wanted.sum(), (~wanted).sum()
    return float((ranks[wanted].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def threshold_at_rejection(score: np.ndarray, classes: np.ndarray, rejection: float) -> float:
    """The smallest threshold that drops at least this share of the misses."""
    misses = np.sort(score[classes == MISS])
    last_dropped = misses[int(np.ceil(rejection * len(misses))) - 1]
    return float(np.nextafter(last_dropped, np.inf))


def report(probabilities: np.ndarray, classes: np.ndarray, rejection: float = 0.90) -> dict:
    """Accuracy of three classes, and recall of hits and of hits or maybes where `rejection` of the misses is dropped."""
    score = probabilities[:, HIT] + probabilities[:, MAYBE]
    threshold = threshold_at_rejection(score, classes, rejection)
    kept = score >= threshold
    return {
        "accuracy": float((probabilities.argmax(1) == classes).mean()),
        "auc": auc(score, classes != MISS),
        "hit_recall": float(kept[classes == HIT].mean()),
        "wanted_recall": float(kept[classes != MISS].mean()),
        "threshold": threshold,
    }

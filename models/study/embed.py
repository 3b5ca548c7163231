"""A picture of features, and the number that says what the picture is worth."""

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

NEIGHBOURS = 10


def embedded(features: np.ndarray, classes: np.ndarray, seed: int) -> tuple[np.ndarray, dict]:
    """t-SNE of the features [n, 2]; and the accuracy of the nearest ten other maps, by features and in the picture."""
    features = StandardScaler().fit_transform(features)
    perplexity = min(30, (len(features) - 1) / 3)
    picture = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return picture, {"features": neighbours(features, classes), "picture": neighbours(picture, classes)}


def neighbours(points: np.ndarray, classes: np.ndarray) -> list[int]:
    """k of n maps whose ten nearest others vote for their class."""
    known = KNeighborsClassifier(NEIGHBOURS).fit(points, classes)
    # None asks for each point's neighbours among the others.
    votes = classes[known.kneighbors(None, return_distance=False)]
    called = np.array([np.bincount(vote, minlength=3).argmax() for vote in votes])
    return [int((called == classes).sum()), len(classes)]

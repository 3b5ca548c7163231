"""A picture of features, and the number that says what the picture is worth."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

NEIGHBOURS = 10
COMPONENTS = 64


def standard(features: np.ndarray) -> np.ndarray:
    """Each feature with mean 0 and deviation 1."""
    return StandardScaler().fit_transform(features)


def principal(features: np.ndarray, seed: int) -> np.ndarray:
    """The first principal components f16 [n, 64 at most]: what a picture is made from later, without the network."""
    return PCA(min(COMPONENTS, *features.shape), random_state=seed).fit_transform(features).astype(np.float16)


def picture(features: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE of the features: f32 [n, 2]."""
    perplexity = min(30, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features.astype(np.float32))


def neighbours(points: np.ndarray, classes: np.ndarray) -> list[int]:
    """k of n maps whose ten nearest others vote for their class."""
    known = KNeighborsClassifier(NEIGHBOURS).fit(points, classes)
    # None asks for each point's neighbours among the others.
    votes = classes[known.kneighbors(None, return_distance=False)]
    called = np.array([np.bincount(vote, minlength=3).argmax() for vote in votes])
    return [int((called == classes).sum()), len(classes)]

"""How much a term says about the classes: a supervised factor beside its inverse document frequency.

For each term the classes of the documents that hold it are compared with the classes of all documents, by
the Kullback-Leibler divergence. Function words get little weight although no list of stop words exists for the
language. Source of the idea: F. Debole, F. Sebastiani, "Supervised term weighting for automated text
categorization", SAC 2003.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.linear import Targets

_PRIOR_DOCUMENTS = 2.0
_FLOOR = 0.05
_CHUNK = 20_000


def relevance(presence: csr_matrix, targets: Targets) -> NDArray[np.float64]:
    """Square root of the divergence (plus a floor, so that no term is lost), float64 (terms,).

    Args:
        presence: (documents, terms), any value but 0 where a document holds a term.
        targets: bool (documents, classes), at least one True.
    """
    columns = presence.tocsc()
    chunks = range(0, presence.shape[1], _CHUNK)
    parts = [_divergence(columns[:, start : start + _CHUNK], targets) for start in chunks]
    return np.sqrt(np.concatenate(parts) + _FLOOR)


def _divergence(presence: csr_matrix, targets: Targets) -> NDArray[np.float64]:
    """Divergence in nats; each term is given two documents of the average kind, as rare ones prove little."""
    prior = targets.sum(axis=0) / targets.sum()
    holding = presence.copy()
    holding.data = np.ones_like(holding.data)
    counts = holding.T @ targets.astype(np.float64)
    smoothed = counts + _PRIOR_DOCUMENTS * prior
    shares = smoothed / smoothed.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares / prior), 0.0)
    divergence: NDArray[np.float64] = np.maximum(terms.sum(axis=1), 0.0)
    return divergence

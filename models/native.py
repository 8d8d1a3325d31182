"""The native scorer: not here yet; only the place where writing a bundle asks for its index."""

import numpy as np
from numpy.typing import NDArray

from models.content import BundleContent


def build_index(content: BundleContent) -> NDArray[np.uint64] | None:  # noqa: ARG001 - not built yet
    """The lookup index of a model; None while there is no native scorer."""
    return None

"""Which scorer serves a bundle: the native one where it can, the reference scorer where it must."""

import os
from typing import Final, NamedTuple

from models.native import NativeScorer, why_unavailable
from models.problems import BundleError, BundleProblem
from models.reader import Bundle
from models.reference import ReferenceScorer
from models.scorer import Scorer

SCORER_VARIABLE: Final = "CLF_SCORER"


class Choice(NamedTuple):
    """A scorer, and why it is not the native one: None when it is, or when nobody wanted it to be."""

    scorer: Scorer
    fallback_reason: str | None


def choose_scorer(bundle: Bundle) -> Choice:
    """The native scorer, or the reference scorer where the bundle or the installation does not allow it.

    The environment variable CLF_SCORER ("native" or "reference") forces one.

    Raises:
        BundleError: SCORER_UNAVAILABLE, the one that is forced cannot be had; or why the bundle is refused.
    """
    wanted = os.environ.get(SCORER_VARIABLE)
    if wanted not in {None, "", "native", "reference"}:
        raise BundleError(
            BundleProblem.SCORER_UNAVAILABLE,
            f"{SCORER_VARIABLE} asks for the scorer {wanted!r}, and there is no such. "
            "It may be 'native' or 'reference'; unset takes the best one.",
        )
    if wanted == "reference":
        return Choice(ReferenceScorer(bundle), None)
    reason = _why_not_native(bundle)
    if reason is None or wanted == "native":
        return Choice(NativeScorer(bundle), None)
    return Choice(ReferenceScorer(bundle), reason)


def _why_not_native(bundle: Bundle) -> str | None:
    if bundle.manifest.reference_only is not None:
        return f"the native scorer cannot follow the vectorizer settings: {bundle.manifest.reference_only}"
    missing = why_unavailable()
    return None if missing is None else f"the native scorer is not installed: {missing}"

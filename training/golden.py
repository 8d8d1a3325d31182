"""Golden documents: texts that exercise a model without repeating what it was trained on.

They are made of the vocabulary's own terms and of fixed strings, never of training documents: corpora may not be
redistributable, and a model that travels must not carry their sentences along.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MAX_CLASS_TEXTS = 16
_RANDOM_SIZES = (1, 2, 5, 12, 30, 60, 120, 250)
_LONG_TERMS = 3000
_TERMS_PER_CLASS = 12
FIXED = (
    "",
    " \t\n ",
    "zqxjkv wvuqzx qqqqzz",
    "0 1 2 12 123 1,234.56 2026-11-22 007",
    "Ünïcödé naïve ﬁne ĲSSEL Straße STRASSE İstanbul ΣΊΣΥΦΟΣ",
    "Привет мир, γειά σου κόσμε, שלום עולם, مرحبا بالعالم, 你好世界, こんにちは, ሰላም ዓለም, Բարեւ աշխարհ",  # noqa: RUF001 - look-alike letters are the point
    "\u0065\u0301 \u00e9 \u200bzero\u200bwidth\u200d \ufeffmark \u2028line\u2029paragraph\u0085next \u00adsoft",
    "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 𝔊𝔬𝔱𝔥𝔦𝔠 \U0010ffff \u0000null\u0000",  # noqa: RUF001 - as above
    "https://www.example.org/a/b?c=d&e=f#g user_name@example.org snake_case CamelCase <b>bold</b>",
    "a b c d e f g",
)


def golden_texts(terms: Sequence[str], weights: NDArray[np.float64], seed: int) -> list[str]:
    """A few dozen texts, the same for the same model.

    Args:
        terms: the vocabulary in column order.
        weights: (terms, classes); the heaviest terms of some classes make one text each.
        seed: of the random choice of terms.
    """
    random = np.random.default_rng(seed)
    texts = list(FIXED)
    for column in range(min(weights.shape[1], _MAX_CLASS_TEXTS)):
        heaviest = np.argsort(-weights[:, column], kind="stable")[:_TERMS_PER_CLASS]
        texts.append(" ".join(terms[row] for row in heaviest))
    texts += [_draw(terms, size, random) for size in _RANDOM_SIZES]
    words = _draw(terms, _RANDOM_SIZES[3], random)
    texts += [words.upper(), words.replace(" ", "\n"), f"{FIXED[2]} {words} {FIXED[5]}", " ".join([words] * 5)]
    texts.append(_draw(terms, _LONG_TERMS, random))
    return texts


def _draw(terms: Sequence[str], size: int, random: np.random.Generator) -> str:
    return " ".join(terms[row] for row in random.integers(0, len(terms), size))

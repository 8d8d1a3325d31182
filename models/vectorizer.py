"""The settings that decide what becomes of a text, under scikit-learn's names."""

from dataclasses import dataclass
from typing import Literal

Analyzer = Literal["word", "char", "char_wb"]
Norm = Literal["l1", "l2"]
StripAccents = Literal["ascii", "unicode"]

DEFAULT_TOKEN_PATTERN = r"(?u)\b\w\w+\b"  # noqa: S105 - a regular expression for words, not a password


@dataclass(frozen=True, slots=True)
class VectorizerConfig:
    """The settings of scikit-learn's `TfidfVectorizer` that decide what it does to a new text.

    The names and meanings are scikit-learn's. `stop_words` are the words themselves, never the
    name of a list; functions (own tokenizers, preprocessors) cannot be expressed, on purpose.
    """

    analyzer: Analyzer = "word"
    ngram_range: tuple[int, int] = (1, 1)
    token_pattern: str = DEFAULT_TOKEN_PATTERN
    lowercase: bool = True
    strip_accents: StripAccents | None = None
    stop_words: tuple[str, ...] | None = None
    sublinear_tf: bool = False
    binary: bool = False
    norm: Norm | None = "l2"
    use_idf: bool = True

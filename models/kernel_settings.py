"""Which vectorizer settings the native scorer can follow, and what it needs to know of them."""

import re
from dataclasses import dataclass
from typing import Final

from models.vectorizer import Analyzer, Norm, VectorizerConfig

# Whole runs of word characters: of one character or more, of two or more, or cut to a prefix.
_WORDS: Final = re.compile(r"(?:\(\?u\))?(?:\\w(?P<one>\\w)?\+|\\b\\w(?P<two>\\w)?\+\\b)")
_PREFIXES: Final = re.compile(r"(?:\(\?u\))?\\b\(\\w\{(?P<least>[0-9]{1,3}),(?P<most>[0-9]{1,3})\}\)\\w\*\\b")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_MAX_CHAR_NGRAM: Final = 16


class UnsupportedSettingsError(ValueError):
    """The native scorer cannot follow the settings; the message says which one."""


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """The settings in the form that the kernel reads; see `VectorizerConfig` for those of the same name.

    Attributes:
        min_chars: shorter words are no tokens.
        max_chars: longer words are cut to that many characters; 0 leaves them whole.
    """

    analyzer: Analyzer
    min_n: int
    max_n: int
    min_chars: int
    max_chars: int
    lowercase: bool
    stop_words: tuple[str, ...]
    sublinear_tf: bool
    binary: bool
    norm: Norm | None


def kernel_settings(config: VectorizerConfig) -> KernelSettings:
    """What the kernel needs to know of `config`.

    Raises:
        UnsupportedSettingsError: only the reference scorer can follow it.
    """
    if config.strip_accents is not None:
        raise UnsupportedSettingsError(f"strip_accents is {config.strip_accents!r}")
    low, high = config.ngram_range
    if config.analyzer == "word":
        least, most = _word_lengths(config.token_pattern)
    elif high > _MAX_CHAR_NGRAM:
        raise UnsupportedSettingsError(f"ngram_range reaches {high} characters, more than {_MAX_CHAR_NGRAM}")
    else:
        least, most = 1, 0
    return KernelSettings(
        analyzer=config.analyzer,
        min_n=low,
        max_n=high,
        min_chars=least,
        max_chars=most,
        lowercase=config.lowercase,
        stop_words=_stop_words(config),
        sublinear_tf=config.sublinear_tf,
        binary=config.binary,
        norm=config.norm,
    )


def reference_only(config: VectorizerConfig) -> str | None:
    """Why only the reference scorer can follow `config`; None when the native one can too."""
    try:
        kernel_settings(config)
    except UnsupportedSettingsError as error:
        return str(error)
    return None


def _stop_words(config: VectorizerConfig) -> tuple[str, ...]:
    """The stop words that may be tokens: none with a lone surrogate, and none at all of character analyzers."""
    words = (config.stop_words or ()) if config.analyzer == "word" else ()
    return tuple(word for word in words if not _SURROGATE.search(word))


def _word_lengths(pattern: str) -> tuple[int, int]:
    """The least and the most characters of a token; 0 is no limit."""
    if words := _WORDS.fullmatch(pattern):
        return (2 if words["one"] or words["two"] else 1), 0
    prefixes = _PREFIXES.fullmatch(pattern)
    if prefixes and 1 <= int(prefixes["least"]) <= int(prefixes["most"]):
        return int(prefixes["least"]), int(prefixes["most"])
    raise UnsupportedSettingsError(f"token_pattern is {pattern!r}, which is no run of word characters")

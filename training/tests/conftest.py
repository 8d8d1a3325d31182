"""Corpora for the tests: small, made up, with words that tell the classes apart."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.corpus import Corpus, CorpusRules, read_corpus

Line = Any  # a document, or a line of text or bytes as it is
WriteLines = Callable[..., Path]
MakeCorpus = Callable[..., Corpus]
MakeLines = Callable[..., list[Any]]

_WORDS = {
    "sport": ["goal", "match", "referee", "league", "coach", "penalty", "stadium", "striker"],
    "health": ["doctor", "vaccine", "hospital", "patient", "nurse", "disease", "clinic", "therapy"],
    "business": ["market", "shares", "profit", "bank", "merger", "invoice", "exports", "budget"],
}
_COMMON = ["the", "and", "today", "said", "people", "year", "town", "after", "report", "new"]


def _make_lines(per_class: int, seed: int = 0, names: Sequence[str] = tuple(_WORDS)) -> list[Any]:
    """Documents with one label each: half words of the class, half common words, a few of another class."""
    random = np.random.default_rng(seed)
    lines: list[Any] = []
    for number in range(per_class):
        for name in names:
            other = names[int(random.integers(len(names)))]
            words = [*random.choice(_WORDS[name], 6), *random.choice(_COMMON, 8), *random.choice(_WORDS[other], 2)]
            text = " ".join(str(word) for word in random.permutation(words))
            url = f"https://{name}.example/{number}"
            lines.append({"url": url, "title": f"Page {number}", "text": text, "lang": "en", "labels": [name]})
    return lines


@pytest.fixture
def make_lines() -> MakeLines:
    """Make documents with one label each, so many per class."""
    return _make_lines


@pytest.fixture
def write_lines(tmp_path: Path) -> WriteLines:
    """Write lines (objects as JSON, bytes as they are) to a file and give its path."""

    def write(lines: Sequence[Line], name: str = "corpus.jsonl", *, compress: bool = False) -> Path:
        data = b"".join(_encode(line) + b"\n" for line in lines)
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if compress else data)
        return path

    return write


@pytest.fixture
def make_corpus(write_lines: WriteLines) -> MakeCorpus:
    """A corpus of the given lines, read from a file."""

    def make(lines: Sequence[Line]) -> Corpus:
        return read_corpus([write_lines(lines)], CorpusRules(language="en", min_documents=1, max_bad_share=1.0))

    return make


def _encode(line: Line) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()

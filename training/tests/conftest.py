"""Corpora for the tests: small, made up, with words that tell the classes apart."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from training.corpus import Corpus, CorpusRules, read_corpus

Line = dict[str, object] | bytes | str
WriteLines = Callable[..., Path]
MakeCorpus = Callable[..., Corpus]

_WORDS = {
    "sport": ["goal", "match", "referee", "league", "coach", "penalty", "stadium", "striker"],
    "health": ["doctor", "vaccine", "hospital", "patient", "nurse", "disease", "clinic", "therapy"],
    "business": ["market", "shares", "profit", "bank", "merger", "invoice", "exports", "budget"],
}
_COMMON = ["the", "and", "today", "said", "people", "year", "town", "after", "report", "new"]


def make_lines(per_class: int, seed: int = 0, names: Sequence[str] = tuple(_WORDS)) -> list[Line]:
    """Documents with one label each: half words of the class, half common words, a few of another class."""
    random = np.random.default_rng(seed)
    lines: list[Line] = []
    for number in range(per_class):
        for name in names:
            other = names[int(random.integers(len(names)))]
            words = [*random.choice(_WORDS[name], 6), *random.choice(_COMMON, 8), *random.choice(_WORDS[other], 2)]
            text = " ".join(str(word) for word in random.permutation(words))
            url = f"https://{name}.example/{number}"
            lines.append({"url": url, "title": f"Page {number}", "text": text, "lang": "en", "labels": [name]})
    return lines


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
def make_corpus(write_lines: WriteLines) -> Iterator[MakeCorpus]:
    """A corpus of the given lines, read from a file."""

    def make(lines: Sequence[Line], **rules: object) -> Corpus:
        wanted = CorpusRules(language="en", min_documents=2, max_bad_share=1.0, **rules)  # type: ignore[arg-type] # any rule
        return read_corpus([write_lines(lines)], wanted)

    yield make


def _encode(line: Line) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()

"""How much memory the native scorer takes, seen from outside. A script, because it needs a process of its own.

    python models/tests/memory.py leaks 10_000_000     scores so many documents, makes kernels and errors meanwhile
    python models/tests/memory.py peaks 50_000_000     scores single documents of so many characters, made to hurt

Prints one JSON object per line; `test_memory.py` runs both with smaller numbers. Linux only: it reads /proc.
"""

import argparse
import ctypes
import json
import random
import string
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, cycle, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from models.bundle import Bundle, BundleContent, BundleError, Calibration, Fallback, VectorizerConfig, write_bundle
from models.native import NativeScorer

CLASSES: Final = tuple(f"class{number:02}" for number in range(20))
CONFIGS: Final = {
    "word": VectorizerConfig(ngram_range=(1, 2)),
    "char": VectorizerConfig(analyzer="char", ngram_range=(2, 4)),
    "char_wb": VectorizerConfig(analyzer="char_wb", ngram_range=(2, 4)),
}
BATCH: Final = 500
# Of that many batches, one each goes to the slower analyzers, to threads, to a new kernel and to every kind of error.
ROUND: Final = 40


def corpus(characters: int, extra: str = "") -> str:
    """Text of some thousand different words, frequent and rare ones, in which `extra` occurs now and then."""
    chance = random.Random(7)  # noqa: S311 - repeatable, and no secret
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 12))) for _ in range(5000)]
    text = " ".join(words[int(len(words) * chance.random() ** 3)] for _ in range(characters // 7))
    return text.replace(words[0], words[0] + extra)


def content(config: VectorizerConfig) -> BundleContent:
    """A model of terms that the corpus has."""
    words = corpus(100_000).split()
    if config.analyzer == "word":
        terms = sorted({*words, *map(" ".join, pairwise(words))})
    else:
        text = " ".join(words)
        terms = sorted({text[at : at + n] for n in (2, 3, 4) for at in range(len(text) - n + 1)})
    chance = np.random.default_rng(7)
    return BundleContent(
        lang="en",
        classes=CLASSES,
        vectorizer=config,
        terms=terms,
        idf=np.ones(len(terms), dtype=np.float32),
        weights=chance.normal(size=(len(terms), len(CLASSES))).astype(np.float32),
        intercept=np.zeros(len(CLASSES), dtype=np.float32),
        calibration=Calibration(slope=(-1.0,) * len(CLASSES), intercept=(0.0,) * len(CLASSES)),
        thresholds=(0.5,) * len(CLASSES),
        fallback=Fallback.NONE,
        golden_texts=(" ".join(words[:50]),),
        training={},
        metrics={},
    )


def status(name: str) -> int:
    """A field of /proc/self/status, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def report(**values: object) -> None:
    """Tell whoever started the script."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


# --- leaks -------------------------------------------------------------------------------------------------------


def batches() -> Iterator[list[str]]:
    """Documents of 300 to 3,000 characters, new strings each time; every third batch is wide, every third wider."""
    chance = random.Random(11)  # noqa: S311 - as above
    texts = [
        corpus(400_000),
        corpus(400_000, "\N{CYRILLIC SMALL LETTER A}"),
        corpus(400_000, "\N{GRINNING FACE}\ud800"),
    ]
    for text in cycle(texts):
        starts = [chance.randrange(len(text) - 3000) for _ in range(BATCH)]
        # Most pages are short.
        yield [text[start : start + 300 + 2700 * (number % 10 == 0)] for number, start in enumerate(starts)]


def provoke(bundle: Bundle, scorer: NativeScorer) -> None:
    """Everything that is refused: what is no text, amid texts, and an index of nothing."""
    wrong: list[list[Any]] = [[b"bytes"], ["text", None], [*"texts", 3]]
    for texts in wrong:
        with suppress(TypeError):
            scorer.score(texts)
    values = {name: getattr(bundle, name) for name in Bundle.__slots__}
    damaged = Bundle(**values | {"index": np.arange(100, dtype="<u8")})
    with suppress(BundleError):
        NativeScorer(damaged)


def leaks(documents: int) -> None:
    """Score so many documents; report the size of the process at the start, after a tenth, a half, and all of them."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        for name, config in CONFIGS.items():
            write_bundle(Path(folder) / name, name, content(config))
        bundles = {name: Bundle.open(Path(folder) / name) for name in CONFIGS}
        scorers = {name: NativeScorer(bundle) for name, bundle in bundles.items()}
        marks = {0, documents // 10, documents // 2, documents}
        begin, characters, done = time.perf_counter(), 0, 0
        for number, batch in zip(count(), batches(), strict=False):
            for mark in sorted(mark for mark in marks if mark <= done):
                seconds = round(time.perf_counter() - begin, 1)
                size = status("VmRSS")
                report(share=mark / documents, documents=done, characters=characters, seconds=seconds, rss=size)
                marks.remove(mark)
            if not marks:
                return
            turn = number % ROUND
            if turn in {1, 2, 3}:
                name = sorted(CONFIGS)[turn - 1]
                provoke(bundles[name], scorers[name])
                scorers[name] = NativeScorer(bundles[name])
                scorers[name].score(batch)
            elif turn == 4:
                list(pool.map(scorers["word"].score, (batch[start::4] for start in range(4))))
            else:
                scorers["word"].score(batch)
            done += len(batch)
            characters += sum(map(len, batch))


# --- peaks -------------------------------------------------------------------------------------------------------


def hostile(characters: int) -> Iterator[tuple[str, str]]:
    """Documents that would be slow or large if anything were not done piece by piece, with their names."""

    def of(name: str, piece: str) -> tuple[str, str]:
        return name, piece * (characters // len(piece))

    yield of("one word", "x")
    yield of("one wide word", "\N{CYRILLIC SMALL LETTER YA}")
    yield of("one widest word", "\N{DESERET CAPITAL LETTER EW}")
    yield of("words without end", "to be or not to be that is the question ")
    yield "different words", "".join(f"{number:07x} " for number in range(characters // 8))
    yield of("one-letter words", "a ")
    yield of("white space", " \n")
    yield of("punctuation", "...")
    yield of("sigmas", "\N{GREEK CAPITAL LETTER SIGMA}")
    yield "one sigma and what it skips", "A" + "\N{GREEK CAPITAL LETTER SIGMA}" + "'" * (characters - 2)
    yield of("sigmas and what they skip", "A\N{GREEK CAPITAL LETTER SIGMA}" + "'" * 998)
    yield of("sigmas and what they skip, wide", "\N{GREEK CAPITAL LETTER SIGMA}\N{COMBINING ACUTE ACCENT}")
    yield of("characters that become two", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}")
    yield of("surrogates", "\ud800")
    yield of("zeros", "\0")


def peaks(characters: int, analyzers: list[str]) -> None:
    """Score each document alone; report how far the process grew beyond it, and how long that took."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    for analyzer in analyzers:
        scorer = NativeScorer(content(CONFIGS[analyzer]))
        scorer.score(["warm"])
        for name, text in hostile(characters):
            # What was freed goes back, lest it hide what is taken. 5 sets the peak back to what is in use.
            if trim is not None:
                trim(0)
            Path("/proc/self/clear_refs").write_text("5", "ascii")
            before, begin = status("VmRSS"), time.perf_counter()
            scorer.score([text])
            seconds = round(time.perf_counter() - begin, 3)
            report(analyzer=analyzer, document=name, seconds=seconds, growth=status("VmHWM") - before)


def main() -> None:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("leaks", "peaks"))
    parser.add_argument("number", type=int)
    parser.add_argument("analyzers", nargs="*", help="for peaks: which models; all of them if none is named")
    asked = parser.parse_args()
    if asked.what == "leaks":
        leaks(asked.number)
    else:
        peaks(asked.number, asked.analyzers or list(CONFIGS))


if __name__ == "__main__":
    main()

"""A program that opens one bundle, scores one text and tells how long that took and what memory it has.

`python -m worker.bench.score_opener SCORER BUNDLE [hold]`: prints one JSON line. With `hold` it then keeps the bundle
open until its standard input ends. A fresh process for every sample: a second opening in the same one would find its
memory and its modules ready.
"""

import sys
from pathlib import Path

import orjson

from worker.clock import SystemClock

_TEXT = "a text of a few words, none of which the bundle has to know"
_FIELDS = ("Rss", "Pss", "Pss_Anon", "Pss_File", "Shared_Clean", "Private_Clean", "Private_Dirty")
_ROLLUP = Path("/proc/self/smaps_rollup")


def memory(path: Path = _ROLLUP) -> dict[str, int]:
    """Bytes of this process by kind, as the kernel adds them up; empty where it does not."""
    try:
        lines = path.read_text().split("\n")
    except OSError:
        return {}
    sizes = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return {name: int(sizes[name][0]) * 1024 for name in _FIELDS if name in sizes}


def main(scorer: str, directory: str, then: str = "") -> None:
    """Open, score, tell."""
    clock = SystemClock()
    begun = clock.monotonic()
    from models.analysis import build_analyzer  # noqa: PLC0415 - what importing takes is told apart
    from models.bundle import Bundle, VectorizerConfig  # noqa: PLC0415 - as above
    from worker.bench.score_scorers import ScorerChoice, builders  # noqa: PLC0415 - as above

    build = builders(ScorerChoice(scorer), lambda _: None)[scorer]
    if scorer == ScorerChoice.REFERENCE:
        build_analyzer(VectorizerConfig())  # it imports scikit-learn only now
    before = memory()
    started = clock.monotonic()
    bundle = Bundle.open(Path(directory))
    opened = clock.monotonic()
    ready_scorer = build(bundle)
    ready = clock.monotonic()
    ready_scorer.score([_TEXT])
    ended = clock.monotonic()
    facts = {
        "import_seconds": started - begun,
        "open_seconds": opened - started,
        "build_seconds": ready - opened,
        "first_score_seconds": ended - ready,
        "seconds": ended - started,
        "memory_before": before,
        "memory": memory(),
    }
    sys.stdout.buffer.write(orjson.dumps(facts) + b"\n")
    sys.stdout.buffer.flush()
    if then == "hold":
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main(*sys.argv[1:])

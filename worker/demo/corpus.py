"""The sample corpus, divided: most of it trains the demo's models, the rest is classified by them."""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import orjson

from schemas.document import Document, decode_document

_HELD_OUT = 4  # every fourth document is kept from training


class Held(NamedTuple):
    """A document the models have not seen, and the label a person gave it."""

    document: Document
    label: str


def divide(directory: Path) -> tuple[dict[str, Path], list[Held]]:
    """Write one training file per language into `directory`. Returns those by language, and what was held out."""
    training: dict[str, Path] = {}
    held: list[Held] = []
    for sample in sorted(Path(str(files("training") / "sample")).glob("*.jsonl")):
        lines = [line for line in sample.read_bytes().split(b"\n") if line]
        target = directory / sample.name
        target.write_bytes(b"".join(line + b"\n" for n, line in enumerate(lines) if n % _HELD_OUT))
        training[sample.stem] = target
        held += [Held(decode_document(line), orjson.loads(line)["labels"][0]) for line in lines[::_HELD_OUT]]
    return training, held

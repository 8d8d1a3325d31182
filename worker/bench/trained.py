"""Models for measurements, trained by `clf train` itself in a process of its own."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.bundle import FORMAT_VERSION

_STDERR: Final = 2
_PIECE: Final = 2**20
_DIGEST_CHARS: Final = 10

Say = Callable[[str], None]


class BenchError(Exception):
    """Nothing can be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One model, in both forms that training leaves behind."""

    bundle: Path
    pipeline: Path


def train(data: Sequence[Path], lang: str, models: Path, *options: str) -> Path:
    """Train a model by `clf train` itself. Returns its scikit-learn pipeline, which only the plain loops load.

    Args:
        data: Labelled documents.
        lang: Their language.
        models: The store; made if it is not there.
        options: More options of `clf train`.

    Raises:
        BenchError: `clf train` did not succeed; it has said why.
    """
    files = [argument for path in data for argument in ("--data", str(path.absolute()))]
    store = ["--lang", lang, "--models", str(models.absolute())]
    command = [sys.executable, "-m", "worker", "train", *files, *store, *options]
    # Its tables are progress here: standard output belongs to the figures.
    if subprocess.run(command, check=False, stdout=_STDERR).returncode:
        raise BenchError("The model could not be trained; see the message above.")
    return _pipelines(models.absolute())[-1]


def trained(data: Sequence[Path], lang: str, root: Path, options: Sequence[str], say: Say) -> TrainedModel:
    """The model of these documents and options below `root`: the one from an earlier run, else a new one.

    Raises:
        BenchError: as `train`.
    """
    store = root / _key(data, lang, options)
    if found := _pipelines(store):
        say(f"reusing the model {found[-1].parent}")
        pipeline = found[-1]
    else:
        say(f"training a model of {data[0].name} with {' '.join(options)}")
        pipeline = train(data, lang, store, *options)
    return TrainedModel(pipeline.parent, pipeline)


def _pipelines(store: Path) -> list[Path]:
    """The newest last. What a killed training left behind is hidden and does not count."""
    found = store.glob("*/*/pipeline.joblib")
    return sorted(path for path in found if not path.parent.name.startswith("."))


def _key(data: Sequence[Path], lang: str, options: Sequence[str]) -> str:
    """A directory name for all that decides what the model will be."""
    digest = hashlib.sha256("\0".join((lang, *options, str(FORMAT_VERSION))).encode())
    for path in data:
        with path.open("rb") as file:
            digest.update(b"\0")
            while piece := file.read(_PIECE):
                digest.update(piece)
    name = re.sub(r"[^A-Za-z0-9-]+", "-", data[0].name.partition(".")[0])
    return f"{name}-{digest.hexdigest()[:_DIGEST_CHARS]}"

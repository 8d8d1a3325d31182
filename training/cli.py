"""`clf train` and `clf evaluate`: options in, a bundle or a report out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import click
from rich.console import Console

from models.bundle import BundleError, Fallback
from models.store import StoreError
from schemas.language import normalise_language
from training.corpus import Corpus, CorpusRules, UnusableCorpusError, read_corpus
from training.errors import TrainingError
from training.parameters import Pins, SearchEffort
from training.progress import Progress, progress_for
from training.publish import Destination, publish
from training.summary import show_next, show_reading, show_training
from training.thresholds import ThresholdRule
from training.trainer import TrainingSettings, train_model

CANNOT_START: Final = 3
AUTO: Final = "auto"

Decorator = Callable[[Any], Any]


class CannotStartError(click.ClickException):
    """What was asked for cannot be done; exit code 3."""

    exit_code = CANNOT_START


class _Language(click.ParamType[str]):
    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        code = normalise_language(str(value))
        if code == "und":
            self.fail(f"{value!r} is not a language code; examples: en, eng, en-GB, de.", param, ctx)
        return code


def _option(flag: str, help_text: str, **attributes: Any) -> Decorator:  # noqa: ANN401 - what click.option takes
    return click.option(flag, help=help_text, show_default=attributes.get("default") is not None, **attributes)


def _together(*decorators: Decorator) -> Decorator:
    return lambda function: reduce(lambda wrapped, decorate: decorate(wrapped), reversed(decorators), function)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUTPUT = click.Path(dir_okay=False, allow_dash=True, path_type=Path)

_where = _together(
    click.argument("files", nargs=-1, type=_FILE),
    _option(
        "--data",
        'JSON lines, plain or gzip: {"url", "title", "text", "lang", "labels": [...]}. Further files may follow it, '
        "or repeat the option.",
        type=_FILE,
        multiple=True,
        required=True,
    ),
    _option(
        "--lang", "Language of the documents; en, eng and en-GB all mean English.", type=_Language(), required=True
    ),
    _option(
        "--models",
        "Model store: a directory that holds LANG/VERSION.",
        type=click.Path(file_okay=False, path_type=Path),
        required=True,
    ),
)
_reading = _together(
    _option(
        "--skip-other-languages",
        "Leave out lines of other languages quietly; else they are bad lines.",
        is_flag=True,
    ),
    _option(
        "--max-bad-share",
        "Give up when a larger share of the lines cannot be used.",
        type=click.FloatRange(0, 1),
        default=0.1,
    ),
)
_choices = _together(
    _option(
        "--search",
        "Settings to try by cross-validation: none takes the defaults, quick tries about a dozen, full all 120.",
        type=click.Choice([str(effort) for effort in SearchEffort]),
        default="quick",
    ),
    _option("--folds", "Folds of the cross-validation.", type=click.IntRange(2, 100), default=5),
    _option(
        "--c", "Pin C of the support vector machines; larger fits the data closer.", type=click.FloatRange(1e-6, 1e6)
    ),
    _option(
        "--class-weight",
        "Pin the class weight; balanced lets rare classes count as much as the rest.",
        type=click.Choice(["none", "balanced"]),
    ),
    _option("--ngrams", "Pin the longest run of words that is a term.", type=click.IntRange(1, 5)),
    _option("--min-df", "Pin in how many documents a term must occur.", type=click.IntRange(1)),
    click.option(
        "--sublinear-tf/--no-sublinear-tf",
        default=None,
        help="Pin whether term counts are dampened (1 + ln count).",
    ),
    _option(
        "--thresholds",
        "When a class is a label: best-only, above one shared threshold, or above one of its own; "
        "auto lets cross-validated micro-F1 choose.",
        type=click.Choice([AUTO, *map(str, ThresholdRule)]),
        default=AUTO,
    ),
    _option(
        "--fallback",
        "What a document without a class above its threshold gets: its best class, or none. auto: best where each "
        "training document has one label, else what cross-validated micro-F1 prefers.",
        type=click.Choice([AUTO, *map(str, Fallback)]),
        default=AUTO,
    ),
)


@click.command()
@_where
@_option("--version", "Name of the new model; default is the time, such as 20261122T045600Z.")
@click.option(
    "--activate/--no-activate", default=True, show_default=True, help="Make it the active version of its language."
)
@_option("--seed", "Of all random choices: same data, options and seed give the same digest.", type=int, default=0)
@_option("--evaluate", "Measure the new model on this file afterwards.", type=_FILE)
@_reading
@_option("--min-documents", "Give up with fewer usable documents.", type=click.IntRange(2), default=10)
@_choices
def train(**options: Any) -> None:  # noqa: ANN401 - click checks the types, and dataclasses name them right below
    r"""Train a model on labelled documents and put it into the store.

    Features and machines are chosen by cross-validation on the training documents; probabilities are calibrated
    and thresholds set on what the machines said about documents they had not seen. Lines that cannot be used are shown
    and counted, and training goes on.

    \b
    clf train --data news.jsonl.gz --lang en --models models
    clf train --data a.jsonl b.jsonl --lang de --models models --search full --no-activate
    """
    console = Console(stderr=True)
    started = perf_counter()
    with _whole_sentences(console):
        destination = Destination.prepare(options["models"], options["lang"], options["version"])
        corpus = _read(options, options["min_documents"], console)
        settings = _settings(options)
        model = train_model(corpus, options["lang"], settings, progress_for(console))
        manifest = publish(model, destination, activate=options["activate"])
    show_training(Console(), corpus, model)
    show_next(Console(), manifest, options["models"], perf_counter() - started, active=options["activate"])


def _settings(options: dict[str, Any]) -> TrainingSettings:
    pinned = ("c", "class_weight", "ngrams", "min_df", "sublinear_tf")
    rule, fallback = options["thresholds"], options["fallback"]
    return TrainingSettings(
        seed=options["seed"],
        folds=options["folds"],
        search=SearchEffort(options["search"]),
        pins=Pins(**{name: options[name] for name in pinned}),
        rule=None if rule == AUTO else ThresholdRule(rule),
        fallback=None if fallback == AUTO else Fallback(fallback),
    )


def _read(options: dict[str, Any], min_documents: int, console: Console) -> Corpus:
    paths = (*options["data"], *options["files"])
    rules = CorpusRules(options["lang"], options["skip_other_languages"], options["max_bad_share"], min_documents)
    progress: Progress = progress_for(console)
    with progress.stage("Reading", sum(path.stat().st_size for path in paths)) as advance:
        corpus = read_corpus(paths, rules, advance)
    show_reading(console, corpus.report)
    return corpus


@contextmanager
def _whole_sentences(console: Console) -> Iterator[None]:
    """What can go wrong, as one sentence and exit code 3."""
    try:
        yield
    except UnusableCorpusError as error:
        show_reading(console, error.report)
        raise CannotStartError(str(error)) from error
    except (TrainingError, BundleError, StoreError, OSError) as error:
        raise CannotStartError(str(error)) from error

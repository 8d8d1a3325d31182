"""`clf train` and `clf evaluate`: options in, a bundle or a report out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import click
from rich.console import Console

from models.bundle import BundleError
from models.model import Model
from models.opening import is_url, open_store
from models.store import Store, StoreError
from training import evaluation, options
from training.corpus import Corpus, CorpusRules, UnusableCorpusError, read_corpus
from training.errors import TrainingError
from training.progress import progress_for
from training.publish import Destination, publish
from training.report import show_evaluation, to_html, to_json, write_text
from training.summary import show_next, show_reading, show_training, show_written
from training.trainer import train_model

CANNOT_START: Final = 3


class CannotStartError(click.ClickException):
    """What was asked for cannot be done; exit code 3."""

    exit_code = CANNOT_START


@click.command()
@options.corpus_options
@options.option("--version", "Name of the new model; default is the time, such as 20261122T045600Z.")
@options.option("--activate/--no-activate", "Make it the active version of its language.", default=True)
@options.option("--evaluate", "Measure the new model on these documents afterwards.", type=options.INPUT)
@options.reading_options
@options.option("--min-documents", "Give up with fewer usable documents.", type=click.IntRange(2), default=10)
@options.search_options
def train(**values: Any) -> None:  # noqa: ANN401 - click has checked the types; training.options names them
    """Train a model on labelled documents and put it into the store.

    Features and machines are chosen by cross-validation on the training documents; probabilities are calibrated
    and thresholds set on what the machines said of documents they had not seen. Lines that cannot be used are shown and
    counted, and training goes on.

    \b
    clf train --data news.jsonl.gz --lang en --models models
    clf train --data a.jsonl b.jsonl --lang de --models models --search full --no-activate
    """  # noqa: D301 - click's mark is the control character, not a backslash and a letter
    console, started = Console(stderr=True), perf_counter()
    settings = options.training_settings(values)
    with _whole_sentences(console):
        root = _directory(values["models"])
        destination = Destination.prepare(root, values["lang"], values["version"])
        corpus = _read(_paths(values), options.corpus_rules(values, values["min_documents"]), console)
        model = train_model(corpus, values["lang"], settings, progress_for(console))
        manifest = publish(model, destination, activate=values["activate"])
        show_training(Console(), corpus, model)
        show_written(Console(), manifest, root, perf_counter() - started, active=values["activate"])
        if values["evaluate"]:
            held_out = _read([values["evaluate"]], options.corpus_rules(values, 1), console)
            _report(destination.store.load(manifest.lang, manifest.version), held_out, console)
        else:
            show_next(Console(), manifest, root)


@click.command()
@options.corpus_options
@options.option("--version", "Which version to measure; default is the active one.")
@options.option("--json", "Write all numbers here; - is standard output.", type=options.OUTPUT)
@options.option("--html", "Write a page with plots here; it needs no other file and no network.", type=options.OUTPUT)
@options.loading_options
@options.reading_options
def evaluate(**values: Any) -> None:  # noqa: ANN401 - as for train
    """Measure a model on labelled documents that it was not trained on.

    Micro and macro F1, precision, recall and F1 of each class, calibration error and coverage: as a table,
    and on demand as JSON, and as a page with precision-recall curves, reliability diagrams and confusions.

    \b
    clf evaluate --data test.jsonl.gz --lang en --models models --html report.html
    """  # noqa: D301 - as above
    console = Console(stderr=True)
    with _whole_sentences(console):
        store = open_store(values["models"], cache=values["model_cache"], trusted_keys=values["trusted_keys"])
        model = _load(store, values["lang"], values["version"])
        corpus = _read(_paths(values), options.corpus_rules(values, 1), console)
        _report(model, corpus, console, json_path=values["json"], html_path=values["html"])


def _directory(models: str) -> Path:
    if is_url(models):
        raise TrainingError(
            f"A model is trained into a directory, and {models} is none. Name one with --models, and publish the model "
            "with: clf models push"
        )
    return Path(models)


def _paths(values: options.Values) -> list[Path]:
    return [*values["data"], *values["files"]]


def _read(paths: Sequence[Path], rules: CorpusRules, console: Console) -> Corpus:
    with progress_for(console).stage("Reading", sum(path.stat().st_size for path in paths)) as advance:
        corpus = read_corpus(paths, rules, advance)
    show_reading(console, corpus.report)
    return corpus


def _load(store: Store, lang: str, version: str | None) -> Model:
    version = version or store.active(lang)
    if version is None:
        raise TrainingError(
            f"No version of {lang!r} is active in {store.where}. Name one with --version, or train one."
        )
    return store.load(lang, version)


def _report(
    model: Model, corpus: Corpus, console: Console, *, json_path: Path | None = None, html_path: Path | None = None
) -> None:
    with progress_for(console).stage("Predicting", len(corpus.texts)) as advance:
        measured = evaluation.measure(model, corpus, advance)
    evaluated = evaluation.evaluate(model, corpus, measured)
    # Standard output belongs to what was asked to go there.
    taken = "-" in (str(json_path), str(html_path))
    show_evaluation(console if taken else Console(), evaluated)
    if json_path:
        write_text(json_path, to_json(evaluated))
    if html_path:
        write_text(html_path, to_html(evaluated, measured))


@contextmanager
def _whole_sentences(console: Console) -> Iterator[None]:
    """What can go wrong, as one sentence and exit code 3."""
    try:
        yield
    except UnusableCorpusError as error:
        show_reading(console, error.report)
        raise CannotStartError(str(error)) from error
    except BrokenPipeError:
        raise  # whoever read our output has gone, and click ends quietly
    except (TrainingError, BundleError, StoreError, OSError) as error:
        raise CannotStartError(str(error)) from error

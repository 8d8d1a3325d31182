"""`clf classify`: the worker's scoring without Kafka, in this process or by a `clf serve`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click

from models.bundle import BundleError
from models.store import Store, StoreError
from schemas.classification import Classification
from schemas.document import Document
from worker.classify import Classifier, ConstantClassifier, DocumentClassifier
from worker.clock import SystemClock
from worker.commands.classify_remote import Remote, RemoteError, Score, remote_scoring
from worker.commands.cluster import clear_errors
from worker.commands.documents import (
    STDIN,
    BadLine,
    BadLines,
    Line,
    Reading,
    batches,
    check_language,
    document_of,
    read_lines,
)
from worker.commands.output import console, counted, write_lines
from worker.commands.progress import SILENT, Tracker, rate, total_size, track
from worker.commands.result_table import ResultTable, result_row
from worker.config import COUNT, Scoring
from worker.options import options
from worker.serving_models import load_models

BAD_LINES = 1
_BATCH_BYTES = 16_000_000
Show = Callable[[Sequence[Classification]], None]


class Format(StrEnum):
    """How results are shown."""

    AUTO = "auto"
    JSON = "json"
    TABLE = "table"


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@options(Scoring, Reading, Remote)
@click.option(
    "--format",
    "form",
    type=click.Choice([str(form) for form in Format]),
    default=str(Format.AUTO),
    show_default=True,
    help="json: a classification per line; table: for people; auto: a table on a terminal, JSON elsewhere.",
)
@click.option(
    "--batch-records",
    type=COUNT,
    default=256,
    show_default=True,
    help="Documents scored at a time. 1 answers each line at once, for a program that waits for it.",
)
def classify(
    files: tuple[Path, ...], scoring: Scoring, reading: Reading, remote: Remote, form: str, batch_records: int
) -> None:
    """Classify JSON lines without Kafka.

    Reads documents, one JSON object {"url", "title", "text", "lang"} per line, from FILES (plain or gzip; - or none
    is standard input), and writes one classification per document to standard output, in their order. They are
    those that a worker with the same models publishes, to the byte, but for "source", which is null.

    With --grpc, a `clf serve` classifies them, as it does for a crawler that cannot wait, and --models is not used.

    A line that is no document, or gets no answer, is reported on standard error with its file, line and reason, and
    left out.

    \b
    clf classify pages.jsonl.gz > results.jsonl
    zcat pages.jsonl.gz | clf classify --lang en | head
    clf classify --grpc clf-1:50051,clf-2:50051 pages.jsonl

    \b
    Exit codes: 0 all classified   1 some lines could not be used (0 with --skip-bad)   2 wrong usage
                3 cannot start, see the message   4 the output could not be written
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    check_language(reading.lang)
    bad = BadLines()
    with clear_errors(StoreError, BundleError, RemoteError), ExitStack() as stack:
        score = stack.enter_context(remote_scoring(remote)) if remote.grpc else Local(_classifier(scoring)).score
        run = _Run(score, reading, bad, _shower(Format(form)))
        run.classify(files or (STDIN,), 1 if _is_dialogue(files) else batch_records)
    if bad.counts:
        click.echo(bad.summary(), err=True)
        sys.exit(0 if reading.skip_bad else BAD_LINES)


def _classifier(scoring: Scoring) -> DocumentClassifier:
    return Classifier(load_models(Store(scoring.models))) if scoring.scoring else ConstantClassifier()


def _is_dialogue(files: Sequence[Path]) -> bool:
    """Whether a person types the documents; says how, if so."""
    if (files and STDIN not in files) or not sys.stdin.isatty():
        return False
    click.echo("Reading documents from the terminal, a JSON object per line. Ctrl-D ends.", err=True)
    return True


def _shower(form: Format) -> Show:
    if form is Format.JSON or (form is Format.AUTO and not sys.stdout.isatty()):
        return lambda results: write_lines(result.to_json() for result in results)
    table = ResultTable(console(), with_age=False)
    return lambda results: table.show([result_row(result) for result in results])


@dataclass(slots=True)
class _Run:
    """One run over some files."""

    score: Score
    reading: Reading
    bad: BadLines
    show: Show

    def classify(self, files: Sequence[Path], batch_records: int) -> None:
        clock = SystemClock()
        started, done = clock.monotonic(), 0
        shown = sys.stdout.isatty()  # results on a terminal are progress enough
        with nullcontext(SILENT) if shown else track("classifying", total_size(files), clock) as tracker:
            for batch in batches(self._documents(files, tracker), batch_records, _BATCH_BYTES):
                self.show(self._results(batch))
                done += len(batch)
                tracker.records_done(len(batch))
        if sys.stderr.isatty():
            seconds = clock.monotonic() - started
            click.echo(f"{counted(done, 'document')} in {seconds:.1f} s ({rate(done, seconds)}).", err=True)

    def _documents(self, files: Sequence[Path], tracker: Tracker) -> Iterator[tuple[Line, Document]]:
        for file in files:
            for line in read_lines(file, self.reading.max_document_bytes, tracker.advanced):
                item = line if isinstance(line, BadLine) else document_of(line, self.reading)
                if isinstance(item, BadLine):
                    self.bad.add(item)
                elif isinstance(line, Line):
                    yield line, item

    def _results(self, batch: Sequence[tuple[Line, Document]]) -> list[Classification]:
        found = self.score(batch)
        for item in found:
            if isinstance(item, BadLine):
                self.bad.add(item)
        return [item for item in found if not isinstance(item, BadLine)]


@dataclass(frozen=True, slots=True)
class Local:
    """Scores in this process."""

    classifier: DocumentClassifier

    def score(self, batch: Sequence[tuple[Line, Document]]) -> list[Classification | BadLine]:
        """One result, or the reason why there is none, per document."""
        try:
            return list(self.classifier.classify([document for _, document in batch], [None] * len(batch)))
        except Exception:  # noqa: BLE001 - a scorer's bug on one page must not take its neighbours along
            return [self._score_alone(line, document) for line, document in batch]

    def _score_alone(self, line: Line, document: Document) -> Classification | BadLine:
        try:
            return self.classifier.classify([document], [None])[0]
        except Exception as error:  # noqa: BLE001 - as above; the line is reported
            return BadLine(line.file, line.number, "score_failed", f"the scorer raised {type(error).__name__}")

"""`clf send`: documents from files into the documents topic."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from schemas.headers import CONTENT_TYPE, PROTOBUF, Headers
from worker.clock import Clock, SystemClock
from worker.commands.cluster import ACKNOWLEDGE_SECONDS, clear_errors, sender_settings
from worker.commands.documents import STDIN, BadLine, BadLines, Line, Reading, check_language
from worker.commands.output import counted, printable_bytes
from worker.commands.progress import Tracker, rate, total_size, track
from worker.commands.send_formats import FORMATS, JSON, SendFormat, converted
from worker.commands.send_sources import (
    MAX_RAW_BYTES,
    DocumentEncoder,
    Encoded,
    Encoder,
    Input,
    encode_raw,
    inputs,
    lines_of,
)
from worker.config import COUNT, Cluster, Topics
from worker.kafka.producer import Sender
from worker.options import options
from worker.stream.deadline import Deadline
from worker.stream.records import Outgoing

NOT_ALL_SENT = 1
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
_CHUNK = 500
_ANY_PARTITION = -1  # the client chooses by the key
_SHOWN_REJECTIONS = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send of the files, and how."""

    form: str
    protobuf: bool
    raw: bool
    per_second: float | None
    limit: int | None
    repeat: int
    url_prefix: str


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@options(Cluster, Topics, Reading)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default=JSON,
    show_default=True,
    help="What wrote the files: json is {url, title, text, lang} (or see --fields), wet is Common Crawl's extracted "
    "text (.warc.wet.gz), the others are crawlers. What is sent are documents of clf.",
)
@click.option(
    "--encoding",
    "protobuf",
    type=click.Choice(["json", "protobuf"]),
    default="json",
    show_default=True,
    callback=lambda _ctx, _param, value: value == "protobuf",
    help=f"protobuf sends clf.v1.Document with the header {CONTENT_TYPE}: {PROTOBUF}.",
)
@click.option(
    "--raw", is_flag=True, help="Send every line as it is, also what is no document: those become dead letters."
)
@click.option(
    "--rate", "per_second", type=click.FloatRange(0, min_open=True), help="At most this many documents per second."
)
@click.option("--limit", type=COUNT, help="Stop after this many documents.")
@click.option(
    "--repeat",
    type=COUNT,
    default=1,
    show_default=True,
    help="Send everything this many times; from the second time on with #2, #3 ... behind the url.",
)
@click.option(
    "--url-prefix", default="file:///", show_default=True, help="What stands before a text file's path to make its url."
)
def send(paths: tuple[Path, ...], cluster: Cluster, topics: Topics, reading: Reading, **plan: Any) -> None:  # noqa: ANN401 - the options above, each checked by click
    """Send documents into the documents topic.

    PATHS are files of JSON lines, {"url", "title", "text", "lang"}, plain or gzip; text files (.txt), each of which
    is one document; directories that hold such files (.jsonl, .ndjson, also .gz; .txt); or - for JSON lines from
    standard input, which is also read when no path is given.

    A record's key is its url, and its value is the line as it stands (its document, with --fields and of other
    formats). Lines that are no documents are reported and left out. The command waits until the cluster has
    acknowledged every record, and says how many it has; a record is never sent twice by the client's own retries.

    \b
    clf send pages.jsonl.gz
    clf send corpus/ --rate 200 --repeat 10
    clf send CC-MAIN-2026.warc.wet.gz --format wet
    clf send feed.jsonl --fields url=link,text=body.content

    \b
    Exit codes: 0 all sent   1 some lines were left out (0 with --skip-bad)   2 wrong usage
                3 cannot start, see the message   4 the cluster stopped taking records   130 interrupted
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    checked = _checked(Plan(**plan), paths, reading)
    files = inputs(_or_stdin(paths), FORMATS[checked.form].suffixes)
    with clear_errors():
        sending = Sending(
            Sender(sender_settings(cluster, topics.documents)), topics.documents, checked, reading, SystemClock()
        )
        sys.exit(sending.run(files))


def _checked(plan: Plan, paths: Sequence[Path], reading: Reading) -> Plan:
    check_language(reading.lang)
    changed = plan.protobuf or plan.repeat > 1 or reading.lang or reading.fields or plan.form != JSON
    if plan.raw and changed:
        raise click.UsageError(
            "--raw sends lines as they are: it goes with neither --format, --encoding, --fields, --repeat nor --lang."
        )
    if reading.fields and plan.form != JSON:
        raise click.UsageError(f"--fields is for --format {JSON}: the fields of the other formats are known.")
    if needs := FORMATS[plan.form].needs():
        raise click.UsageError(needs)
    if plan.repeat > 1 and (not paths or STDIN in paths):
        raise click.UsageError("--repeat needs files: standard input can be read only once.")
    return plan


def _or_stdin(paths: Sequence[Path]) -> Sequence[Path]:
    if not paths and sys.stdin.isatty():
        click.echo("Reading documents from the terminal, a JSON object per line. Ctrl-D ends.", err=True)
    return paths or (STDIN,)


class Sending:
    """One run of `clf send`."""

    def __init__(self, sender: Sender, topic: str, plan: Plan, reading: Reading, clock: Clock) -> None:
        self._sender = sender
        self._topic = topic
        self._plan = plan
        self._reading = reading
        self._clock = clock
        self._bad = BadLines()
        self._headers: Headers = ((CONTENT_TYPE, PROTOBUF.encode()),) if plan.protobuf else ()

    def run(self, files: Sequence[Input]) -> int:
        """Send everything and tell what became of it. Returns the exit code.

        Raises:
            StreamError: the cluster stopped taking records.
        """
        started = self._clock.monotonic()
        interrupted = False
        try:
            with track("acknowledged", self._total(files), self._clock) as tracker:
                self._send(files, tracker)
                self._sender.finish(Deadline(self._clock, ACKNOWLEDGE_SECONDS))
        except KeyboardInterrupt:
            interrupted = True
            self._sender.finish(Deadline(self._clock, ACKNOWLEDGE_SECONDS))
        finally:
            self._report(self._clock.monotonic() - started)
            self._sender.close()
        if interrupted:
            click.echo("Interrupted; the rest was not sent.", err=True)
            return INTERRUPTED
        incomplete = bool(self._bad.counts or self._sender.rejected)
        return NOT_ALL_SENT if incomplete and not self._reading.skip_bad else 0

    def _total(self, files: Sequence[Input]) -> int | None:
        size = total_size(source.path for source in files)
        return None if size is None or self._plan.limit is not None else size * self._plan.repeat

    def _send(self, files: Sequence[Input], tracker: Tracker) -> None:
        records = islice(self._records(files, tracker), self._plan.limit)
        per_second = self._plan.per_second
        size = _CHUNK if per_second is None else max(1, min(_CHUNK, int(per_second / 10)))
        started, handed, told = self._clock.monotonic(), 0, 0
        while chunk := list(islice(records, size)):
            self._sender.send(chunk)
            handed += len(chunk)
            before, told = told, self._sender.delivered
            tracker.records_done(told - before)
            if per_second is not None:
                self._clock.sleep(max(0.0, started + handed / per_second - self._clock.monotonic()))

    def _records(self, files: Sequence[Input], tracker: Tracker) -> Iterator[Outgoing]:
        for number in range(1, self._plan.repeat + 1):
            for source in files:
                for key, value in self._encoded(source, number, tracker):
                    yield Outgoing(self._topic, _ANY_PARTITION, key, value, self._headers)

    def _encoded(self, source: Input, number: int, tracker: Tracker) -> Iterator[Encoded]:
        raw = self._plan.raw
        encode: Encoder = encode_raw if raw else DocumentEncoder(self._reading, self._plan.protobuf)
        form = FORMATS[self._plan.form]
        for line in self._lines(source, form, tracker):
            item = line if isinstance(line, BadLine) else encode(line, number)
            if isinstance(item, BadLine):
                self._bad.add(item)
            else:
                yield item

    def _lines(self, source: Input, form: SendFormat, tracker: Tracker) -> Iterable[Line | BadLine]:
        max_bytes = MAX_RAW_BYTES if self._plan.raw else self._reading.max_document_bytes
        if form.read_file is not None:
            return form.read_file(source.path, max_bytes, tracker.advanced)
        lines = lines_of(source, max_bytes, self._plan.url_prefix, tracker.advanced)
        read = self._reading.fields.read if self._reading.fields and not source.is_text else form.read
        return lines if read is None else converted(lines, read)

    def _report(self, seconds: float) -> None:
        rejected, delivered = self._sender.rejected, self._sender.delivered
        for key, reason in rejected[:_SHOWN_REJECTIONS]:
            click.echo(f"The cluster rejected the record with key {printable_bytes(key, 120)}: {reason}", err=True)
        if rejected:
            click.echo(f"Rejected: {counted(len(rejected), 'record')}. `clf topics check` tells the limits.", err=True)
        if self._bad.counts:
            click.echo(self._bad.summary(), err=True)
        speed = f"in {seconds:.1f} s ({rate(delivered, seconds)})"
        click.echo(f"Delivered {counted(delivered, 'document')} to {self._topic} {speed}.")

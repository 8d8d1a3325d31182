r"""Documents from files: JSON lines, plain or gzip, split on "\n" only. What cannot be used is told, not lost."""

import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

import click

from schemas.decoding import DecodeError, parse_object
from schemas.document import DEFAULT_MAX_BYTES, Document, DocumentError
from schemas.document_reader import DocumentReader
from schemas.language import normalise_language
from worker.commands.output import counted, printable
from worker.config import COUNT
from worker.document_options import FieldMapping
from worker.options import option

STDIN = Path("-")
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PIECE = 2**20

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Reading(FieldMapping):
    """How files of documents are read."""

    lang: str = option("", "Language of the documents that name none, such as en or deu.")
    max_document_bytes: int = option(
        DEFAULT_MAX_BYTES, "Longer lines are refused, as the worker refuses such records.", type=COUNT
    )
    skip_bad: bool = option(False, "Exit with 0 although lines were refused; they are reported all the same.")  # noqa: FBT003 - the default of a flag


class Line(NamedTuple):
    """One line of a file, without its line feed. `number` counts from 1."""

    file: str
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that cannot be used. `detail` never quotes the document."""

    file: str
    number: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{printable(self.file)}, line {self.number}: {self.detail} ({self.reason})"


@dataclass(slots=True)
class BadLines:
    """Tells of every bad line on standard error, and counts them by reason."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, bad: BadLine) -> None:
        """Tell of one."""
        self.counts[bad.reason] += 1
        click.echo(str(bad), err=True)

    def summary(self) -> str:
        """How many there were, by reason."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
        return f"Could not use {counted(self.counts.total(), 'line')}: {reasons}."


def check_language(lang: str) -> str:
    """The code given with --lang.

    Raises:
        click.UsageError: it is no language code.
    """
    if lang and normalise_language(lang) == "und":
        raise click.UsageError(f"--lang: {printable(lang, 40)} is not a language code such as en, eng or en-GB.")
    return lang


def document_of(line: Line, reading: Reading) -> Document | BadLine:
    """What the worker would make of the line as the value of a record; `reading` has the language if it names none."""
    try:
        document = DocumentReader(reading.max_document_bytes, reading.fields)(line.data, ())
    except DocumentError as error:
        return BadLine(line.file, line.number, error.reason, error.detail)
    if reading.lang and not document.lang.strip():
        return document._replace(lang=reading.lang)
    return document


def url_of(data: bytes) -> str | None:
    """The url that a JSON object names, be the rest of it as it may; None when there is none."""
    try:
        url = parse_object(data).get("url")
    except DecodeError:
        return None
    return url if isinstance(url, str) and url else None


def read_lines(path: Path, max_bytes: int, advance: Advance) -> Iterator[Line | BadLine]:
    r"""The lines of a file, split on "\n" only; blank ones are left out. Gzip is recognised by its content.

    A line that is too long is skipped without being kept in memory. A file that is damaged or ends in mid-stream
    gives its lines up to there, and then a `BadLine`.

    Args:
        path: A file, or `STDIN`.
        max_bytes: The longest line.
        advance: Told how many more bytes of the file (compressed ones, if so) were read, where that can be known.
    """
    name, number = file_name(path), 0
    try:
        with opened(path) as file:
            for number, data in enumerate(_split(file, max_bytes, advance), start=1):
                if data is None:
                    yield BadLine(name, number, "too_large", f"the line has more than {max_bytes} bytes")
                elif data.strip():
                    yield Line(name, number, data)
    except (EOFError, zlib.error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield BadLine(name, number + 1, "unreadable", f"the rest of the file is lost: {reason}")


def file_name(path: Path) -> str:
    """What it is called when something is told of it."""
    return "<stdin>" if path == STDIN else str(path)


def opened(path: Path) -> AbstractContextManager[io.BufferedReader]:
    """The file, or standard input, which stays open."""
    if path != STDIN:
        return path.open("rb")
    stream = sys.stdin.buffer
    reader = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))
    return nullcontext(reader)


def uncompressed(file: io.BufferedReader) -> io.BufferedReader | gzip.GzipFile:
    """What is in a file, gzip or plain."""
    gzipped = file.peek(2)[:2] == _GZIP_MAGIC
    return gzip.GzipFile(fileobj=file) if gzipped else file


def _split(file: io.BufferedReader, max_bytes: int, advance: Advance) -> Iterator[bytes | None]:
    """Every line without its line feed; None for one that is too long."""
    stream = cast("IO[bytes]", uncompressed(file))
    position, first = 0, True
    while line := stream.readline(max_bytes + 1):
        data = line.removesuffix(b"\n")
        too_long = len(data) > max_bytes
        if too_long:
            _skip_rest(stream, line)
        if file.seekable():
            advance(file.tell() - position)
            position = file.tell()
        yield None if too_long else data.removeprefix(_BYTE_ORDER_MARK) if first else data
        first = False


def _skip_rest(stream: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(_PIECE)


def batches(
    items: Iterable[tuple[Line, Document]], max_records: int, max_bytes: int
) -> Iterator[list[tuple[Line, Document]]]:
    """Groups of at most `max_records`, closed early at `max_bytes` of lines so that large pages do not pile up."""
    batch: list[tuple[Line, Document]] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item[0].data)
        if len(batch) >= max_records or size >= max_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

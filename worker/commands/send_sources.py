"""What `clf send` sends: files of JSON lines, directories of them, and plain texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote

import click
import orjson

from schemas.decoding import DecodeError
from schemas.document import Document, checked_url
from worker.commands.cluster import QUEUE_BYTES
from worker.commands.documents import STDIN, Advance, BadLine, Line, Reading, document_of, read_lines, url_of

LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
TEXT_SUFFIX = ".txt"

# A raw line may be longer than a document may be, to see what becomes of it; but it has to fit into the client's queue.
MAX_RAW_BYTES = QUEUE_BYTES // 2


@dataclass(frozen=True, slots=True)
class Input:
    """One file, and the name its text gets behind the --url-prefix if it is plain text."""

    path: Path
    name: str

    @property
    def is_text(self) -> bool:
        """Whether the whole file is one document."""
        return self.path.name.lower().endswith(TEXT_SUFFIX)


def inputs(paths: Sequence[Path], suffixes: tuple[str, ...] = (*LINES_SUFFIXES, TEXT_SUFFIX)) -> list[Input]:
    """The files to read: of a directory those with these suffixes, in order of their names.

    Raises:
        click.UsageError: a directory holds nothing to send.
    """
    found: list[Input] = []
    for path in paths:
        if path == STDIN or not path.is_dir():
            found.append(Input(path, path.name))
            continue
        inside = [
            Input(file, file.relative_to(path).as_posix())
            for file in sorted(path.rglob("*"))
            if _is_wanted(file, suffixes)
        ]
        if not inside:
            raise click.UsageError(f"{path} holds no file that ends in {', '.join(suffixes)}.")
        found += inside
    return found


def _is_wanted(file: Path, suffixes: tuple[str, ...]) -> bool:
    return file.name.lower().endswith(suffixes) and file.is_file()


def lines_of(source: Input, max_bytes: int, url_prefix: str, advance: Advance) -> Iterator[Line | BadLine]:
    """The JSON lines of a file; a plain text is one such line."""
    if not source.is_text:
        return read_lines(source.path, max_bytes, advance)
    return iter([_text_line(source, max_bytes, url_prefix, advance)])


def _text_line(source: Input, max_bytes: int, url_prefix: str, advance: Advance) -> Line | BadLine:
    name = str(source.path)
    try:
        with source.path.open("rb") as file:
            data = file.read(max_bytes + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return BadLine(name, 1, "not_utf8", f"the file is not UTF-8: invalid at byte offset {error.start}")
    except OSError as error:
        return BadLine(name, 1, "unreadable", f"the file cannot be read: {error.strerror}")
    advance(len(data))
    if len(data) > max_bytes:
        return BadLine(name, 1, "too_large", f"the file has more than {max_bytes} bytes")
    return Line(name, 1, Document(url_prefix + quote(source.name), text=text).to_json())


class Encoded(NamedTuple):
    """Key and value of a record."""

    key: bytes | None
    value: bytes


class Encoder(Protocol):
    """Turns a line into what is sent."""

    def __call__(self, line: Line, number: int) -> Encoded | BadLine:
        """`number` says which round it is, from 1: each has urls of its own."""


def encode_raw(line: Line, number: int) -> Encoded:
    """The line as it is, also when it is no document; keyed by its url where it has one."""
    del number
    url = url_of(line.data)
    return Encoded(None if url is None else url.encode(), line.data)


@dataclass(frozen=True, slots=True)
class DocumentEncoder:
    """Checks that a line is a document, and gives it its language and its url of this round."""

    reading: Reading
    protobuf: bool

    def __call__(self, line: Line, number: int) -> Encoded | BadLine:
        """The record. JSON keeps the fields that clf does not know, and the very bytes where nothing is changed."""
        document = document_of(line, replace(self.reading, lang="", fields=None))
        if isinstance(document, BadLine):
            return document
        changes = self._changes(document, number)
        try:
            changed = document._replace(**changes)
            checked_url(changed.url)
        except DecodeError as error:
            return BadLine(line.file, line.number, error.reason, error.detail)
        if self.protobuf:
            return Encoded(changed.url.encode(), changed.to_protobuf())
        value = orjson.dumps(orjson.loads(line.data) | changes) if changes else line.data.strip()
        return Encoded(changed.url.encode(), value)

    def _changes(self, document: Document, number: int) -> dict[str, str]:
        changes: dict[str, str] = {}
        if self.reading.lang and not document.lang.strip():
            changes["lang"] = self.reading.lang
        if number > 1:
            changes["url"] = f"{document.url}#{number}"
        return changes

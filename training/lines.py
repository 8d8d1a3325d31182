"""The lines of a corpus file: where they end, how much of a damaged file can be had, what each one says."""

import gzip
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, NamedTuple, cast

import orjson

from schemas.document import Document
from training.errors import TrainingError

MAX_LINE_BYTES = 64 * 2**20
MAX_LABEL_CHARS = 200
_GZIP_MAGIC = b"\x1f\x8b"


class LineProblem(StrEnum):
    """Why a line cannot be used."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    WRONG_TYPE = "wrong_type"
    NO_LABELS = "no_labels"
    BAD_LABEL = "bad_label"
    NO_TEXT = "no_text"
    OTHER_LANGUAGE = "other_language"
    TOO_LARGE = "too_large"
    CUT_SHORT = "cut_short"


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that cannot be used; `detail` never quotes the document.

    Attributes:
        file: path as it was given.
        line: number of the line, from 1.
        problem: why, from a closed set.
        detail: why, for a person.
    """

    file: str
    line: int
    problem: LineProblem
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.detail} ({self.problem})"


class Labelled(NamedTuple):
    """One document and its labels as they were written."""

    document: Document
    labels: tuple[str, ...]


def read_lines(path: Path, advance: Callable[[int], None]) -> Iterator[tuple[int, bytes | BadLine]]:
    r"""The lines of a plain or gzip file, split on "\n" only, with their numbers from 1; blank ones are left out.

    A file that ends in mid-stream or is damaged gives its lines up to there and then a `BadLine`.

    Raises:
        TrainingError: the file cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}). Check the name and its permissions.") from error
    with file:
        start = file.read(len(_GZIP_MAGIC))
        file.seek(0)
        # GzipFile is used like the file itself: only readline and the context are needed.
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if start == _GZIP_MAGIC else file
        yield from _numbered(path, file, stream, advance)


def _numbered(
    path: Path, file: IO[bytes], stream: IO[bytes], advance: Callable[[int], None]
) -> Iterator[tuple[int, bytes | BadLine]]:
    number, position = 0, 0
    while True:
        number += 1
        try:
            line = stream.readline(MAX_LINE_BYTES + 1)
            too_large = len(line) > MAX_LINE_BYTES and not _skip_rest(stream, line)
        except (EOFError, zlib.error, OSError) as error:
            yield number, BadLine(str(path), number, LineProblem.CUT_SHORT, f"the rest of the file is lost: {error}")
            return
        advance(file.tell() - position)
        position = file.tell()
        if not line:
            return
        if too_large:
            detail = f"the line has more than {MAX_LINE_BYTES} bytes"
            yield number, BadLine(str(path), number, LineProblem.TOO_LARGE, detail)
        elif line.strip():
            yield number, line


def _skip_rest(stream: IO[bytes], line: bytes) -> bool:
    """Read on to the end of an overlong line; True when it was only the line feed that was too much."""
    fits = line.endswith(b"\n")
    while line and not line.endswith(b"\n"):
        line = stream.readline(MAX_LINE_BYTES)
    return fits


def parse_line(line: bytes, path: Path, number: int) -> Labelled | BadLine:
    """The document and labels of one line, or why there are none."""
    try:
        return _labelled(_object(line))
    except _LineError as error:
        return BadLine(str(path), number, error.problem, error.detail)


class _LineError(Exception):
    def __init__(self, problem: LineProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


def _object(line: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _not_json(line, error) from error
    if not isinstance(value, dict):
        raise _LineError(LineProblem.NOT_AN_OBJECT, f"the line is a JSON {type(value).__name__}, not an object")
    return value


def _not_json(line: bytes, error: orjson.JSONDecodeError) -> _LineError:
    try:
        line.decode()
    except UnicodeDecodeError as decoding:
        return _LineError(LineProblem.NOT_UTF8, f"byte {decoding.start} is not UTF-8")
    return _LineError(LineProblem.NOT_JSON, f"this is not JSON: {error.msg} at character {error.pos}")


def _labelled(fields: dict[str, object]) -> Labelled:
    document = Document(
        url=_text(fields, "url"), title=_text(fields, "title"), text=_text(fields, "text"), lang=_text(fields, "lang")
    )
    labels = _labels(fields)
    if not document.content.strip():
        raise _LineError(LineProblem.NO_TEXT, "title and text are both empty")
    return Labelled(document, labels)


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _LineError(LineProblem.WRONG_TYPE, f"{name} is a {type(value).__name__}, not a string")
    return value


def _labels(fields: dict[str, object]) -> tuple[str, ...]:
    value = fields.get("labels")
    if value is None or value == []:
        raise _LineError(LineProblem.NO_LABELS, 'there are no labels; expected "labels": ["name", ...]')
    if not isinstance(value, list):
        raise _LineError(LineProblem.WRONG_TYPE, f"labels is a {type(value).__name__}, not a list of strings")
    return tuple(_label(item) for item in value)


def _label(item: object) -> str:
    if not isinstance(item, str):
        raise _LineError(LineProblem.WRONG_TYPE, f"a label is a {type(item).__name__}, not a string")
    name = item.strip()
    if not name or len(name) > MAX_LABEL_CHARS or any(unicodedata.category(letter) == "Cc" for letter in name):
        raise _LineError(
            LineProblem.BAD_LABEL,
            f"a label is empty, longer than {MAX_LABEL_CHARS} characters, or holds a control character",
        )
    return name

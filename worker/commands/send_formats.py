"""What `clf send` reads beside its own JSON lines: what crawlers write, and Common Crawl's texts."""

import importlib.util
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from schemas.crawlers import CRAWLERS, NEED_HTML
from schemas.decoding import DecodeError, DecodeReason
from schemas.document import Document
from schemas.html import html_needs
from worker.commands.documents import Advance, BadLine, Line, file_name, opened, uncompressed
from worker.commands.send_sources import LINES_SUFFIXES, TEXT_SUFFIX

JSON: Final = "json"
_WET: Final = "wet"
_WET_SUFFIXES: Final = (".warc.wet.gz", ".warc.wet", ".wet.gz", ".wet")


class ReadFile(Protocol):
    """Reads the documents of a file that has no lines."""

    def __call__(self, path: Path, max_bytes: int, advance: Advance, /) -> Iterator[Line | BadLine]:
        """Each as a line of JSON; what cannot be used is told."""


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class SendFormat:
    """One of the formats.

    Attributes:
        suffixes: Of its files in a directory.
        needs: What has to be installed for it; empty when nothing is missing.
        read: Reads one line, where that is not ours.
        read_file: Reads a whole file, where that has no lines.
    """

    suffixes: tuple[str, ...] = LINES_SUFFIXES
    needs: Callable[[], str] = _nothing
    read: Callable[[bytes], Document] | None = None
    read_file: ReadFile | None = None


def converted(lines: Iterable[Line | BadLine], read: Callable[[bytes], Document]) -> Iterator[Line | BadLine]:
    """The same lines as documents of ours."""
    for line in lines:
        if isinstance(line, BadLine):
            yield line
            continue
        try:
            yield line._replace(data=read(line.data).to_json())
        except DecodeError as error:
            yield BadLine(line.file, line.number, error.reason, error.detail)


def read_wet(path: Path, max_bytes: int, advance: Advance) -> Iterator[Line | BadLine]:
    """The texts of a WET file: its `conversion` records, whose language is the one that Common Crawl found most of.

    The first line of such a text is the page's title, so the document has none of its own. Its line number is that of
    the record.
    """
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 - an optional dependency, asked for by `_wet_needs`
    from warcio.exceptions import ArchiveLoadFailed  # noqa: PLC0415 - as above

    name, number = file_name(path), 0
    try:
        with opened(path) as file:
            stream = _Stream(file, advance)
            for number, record in enumerate(ArchiveIterator(stream), start=1):
                if record.rec_type == "conversion":
                    yield _conversion(record, Line(name, number, b""), max_bytes)
            stream.check()
    except (ArchiveLoadFailed, EOFError, zlib.error, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield BadLine(name, number + 1, "unreadable", f"the rest of the file is lost: {reason}")


class WarcRecord(Protocol):
    """What is used of a record of warcio."""

    rec_type: str

    @property
    def rec_headers(self) -> "WarcHeaders":
        """Its headers."""

    def content_stream(self) -> BinaryIO:
        """Its content."""


class WarcHeaders(Protocol):
    """What is used of them."""

    def get_header(self, name: str, default: str, /) -> str:
        """The value of one."""


def _conversion(record: WarcRecord, line: Line, max_bytes: int) -> Line | BadLine:
    data = record.content_stream().read(max_bytes + 1)
    if len(data) > max_bytes:
        return BadLine(line.file, line.number, "too_large", f"the text has more than {max_bytes} bytes")
    header = record.rec_headers.get_header
    try:
        text = data.decode("utf-8")
        document = Document(
            header("WARC-Target-URI", ""), text=text.strip(), lang=header("WARC-Identified-Content-Language", "")
        )
        return line._replace(data=document.to_json())
    except UnicodeDecodeError as error:
        detail = f"the text is not UTF-8: invalid at byte offset {error.start}"
        return BadLine(line.file, line.number, DecodeReason.NOT_UTF8, detail)
    except DecodeError as error:
        return BadLine(line.file, line.number, error.reason, error.detail)


class _Stream:
    """What is in a file, gzip or plain, for warcio, which takes one that ends in mid-stream for one that ends well."""

    def __init__(self, file: io.BufferedReader, advance: Advance) -> None:
        self._file = file
        self._advance = advance
        self._position = 0
        self._content = uncompressed(file)
        self._failure: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        try:
            data = self._content.read1(size)  # what comes before a damage is had before the damage is told
        except (EOFError, zlib.error, OSError) as error:
            self._failure = error
            raise
        if self._file.seekable():
            position = self._file.tell()
            self._advance(position - self._position)
            self._position = position
        return data

    def check(self) -> None:
        """Raise what kept the file from being read to its end."""
        if self._failure is not None:
            raise self._failure


def _wet_needs() -> str:
    if importlib.util.find_spec("warcio") is None:
        return "--format wet needs warcio: pip install 'clf-worker[warc]'."
    return ""


FORMATS: Final[Mapping[str, SendFormat]] = {
    JSON: SendFormat((*LINES_SUFFIXES, TEXT_SUFFIX)),
    **{
        name: SendFormat(needs=html_needs if name in NEED_HTML else _nothing, read=read)
        for name, read in CRAWLERS.items()
    },
    _WET: SendFormat(_WET_SUFFIXES, _wet_needs, read_file=read_wet),
}

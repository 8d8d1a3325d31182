"""What the tools write: safe on a terminal, whatever a document holds, and quiet when the reader has gone."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import UnsupportedOperation
from typing import NoReturn

import click
from rich.console import Console

from worker.lifecycle import ExitCode

# Wide enough for a whole row where no terminal sets a width.
_PLAIN_WIDTH = 200


def printable(text: str, limit: int | None = None) -> str:
    r"""`text` on one line, without anything a terminal would obey.

    Control characters, invisible ones, direction marks and lone surrogates become escapes such as `\x1b`.

    Args:
        text: Anything.
        limit: At most this many characters of the result, the last one an ellipsis where some were cut off.
    """
    if limit is not None:
        text, cut = text[: limit + 1], len(text) > limit
        shown = _escaped(text)
        return shown[: limit - 1] + "…" if cut or len(shown) > limit else shown
    return _escaped(text)


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """A number and what it counts, such as "1 record" or "2,000 records"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable_bytes(data: bytes | None, limit: int | None = None) -> str:
    r"""Bytes as `printable` text: what is no UTF-8 becomes escapes such as `\xff`; null is a dash."""
    if data is None:
        return "-"
    head = data if limit is None else data[: 4 * limit + 4]  # a character has four bytes at most
    return printable(head.decode("utf-8", "backslashreplace"), limit)


def terminal_json(line: bytes) -> bytes:
    r"""JSON that says the same, with everything a terminal might obey as `\u` escapes."""
    text = line.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return line
    return "".join(c if c.isprintable() else _json_escape(c) for c in text).encode()


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def write_lines(lines: Iterable[bytes]) -> None:
    """Write JSON lines to standard output, at once."""
    if sys.stdout.isatty():
        lines = map(terminal_json, lines)
    write(b"".join(line + b"\n" for line in lines))


def write(data: bytes) -> None:
    """Write bytes to standard output, at once."""
    stream = sys.stdout.buffer
    with reader_may_leave():
        stream.write(data)
        stream.flush()


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Around a write to standard output: end with 0 when its reader has gone (`| head`), in one line when it fails."""
    try:
        yield
    except BrokenPipeError:
        _discard_output()
        sys.exit(ExitCode.CLEAN)
    except OSError as error:
        _discard_output()
        _cannot_write(error)


def _cannot_write(error: OSError) -> NoReturn:
    click.echo(
        f"Error: Standard output cannot be written: {error.strerror}. The output so far is incomplete.", err=True
    )
    sys.exit(ExitCode.FATAL)


def _discard_output() -> None:
    """What is still buffered must not fail again when the interpreter flushes it at the end."""
    with suppress(OSError, UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


class _PipedConsole(Console):
    """Leaves a broken pipe to `reader_may_leave`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Standard output for tables: as wide as the terminal, or wide enough for a whole row in a file or a pipe.

    Texts from documents go into `rich.text.Text`, through `printable`: markup in them is not obeyed either.
    """
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return _PipedConsole(width=width, highlight=False, emoji=False)

"""How far a command has come, on standard error: a bar with the rate on a terminal, now and then a line elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from worker.clock import Clock

_LINE_SECONDS = 5.0


class Tracker(Protocol):
    """Told of every step forward."""

    def advanced(self, count: int) -> None:
        """That much more of the whole was read, in the unit of its total."""

    def records_done(self, count: int) -> None:
        """That many more records are through."""


@contextmanager
def track(doing: str, total: int | None, clock: Clock) -> Iterator[Tracker]:
    """Show progress while the `with` block runs.

    Args:
        doing: What is done, such as "sending".
        total: The size of the whole, such as the bytes of a file; None when it is not known.
        clock: For the rate.
    """
    if not sys.stderr.isatty():
        yield _Lines(doing, clock)
        return
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *([BarColumn(), TimeRemainingColumn()] if total else []),
        _Rate(),
    ]
    with Progress(*columns, console=Console(stderr=True), get_time=clock.monotonic, transient=True) as progress:
        yield _Bar(progress, doing, total)


def total_size(files: Iterable[Path]) -> int | None:
    """Bytes in all of `files`; None when one of them has no size, as a pipe has none."""
    try:
        sizes = [path.stat().st_size if path.is_file() else None for path in files]
    except OSError:
        return None
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def rate(records: int, seconds: float) -> str:
    """Records per second, for people."""
    return f"{records / seconds:,.0f}/s" if seconds > 0 else "-"


class _Silent:
    def advanced(self, count: int) -> None:
        """Nothing is shown."""

    def records_done(self, count: int) -> None:
        """Nothing is shown."""


SILENT: Tracker = _Silent()


class _Bar:
    def __init__(self, progress: Progress, doing: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(doing, total=total, records=0)

    def advanced(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def records_done(self, count: int) -> None:
        done = self._progress.tasks[self._task].fields["records"] + count
        self._progress.update(self._task, records=done)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """The records so far, and how many a second."""
        records: int = task.fields["records"]
        return Text(f"{records:,} records  {rate(records, task.elapsed or 0.0)}")


class _Lines:
    def __init__(self, doing: str, clock: Clock) -> None:
        self._doing = doing
        self._clock = clock
        self._started = self._told = clock.monotonic()
        self._records = 0

    def advanced(self, count: int) -> None:
        """Files are told of by their records."""

    def records_done(self, count: int) -> None:
        self._records += count
        now = self._clock.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            click.echo(
                f"{self._doing}: {self._records:,} records, {rate(self._records, now - self._started)}", err=True
            )

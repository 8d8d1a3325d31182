"""How long things take, on standard error: a bar on a terminal, a line per stage otherwise."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

Advance = Callable[[int], None]


class Progress(Protocol):
    """Shows stages one after the other."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """Begin a stage of `total` steps; call the result with the number of steps done since the last call."""


class Bars:
    """Progress bars by rich.

    Args:
        console: where they are drawn.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """A bar that stays when it is full."""
        columns = (
            TextColumn("{task.description:<26}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=self._console) as bar:
            task = bar.add_task(name, total=total)
            yield lambda steps: bar.advance(task, steps)
            bar.update(task, completed=total)


class Lines:
    """One plain line per stage, when it has ended."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Say how long it took."""
        del total
        started = perf_counter()
        yield lambda _: None
        click.echo(f"{name}: {perf_counter() - started:.1f} s", err=True)


def progress_for(console: Console) -> Progress:
    """Bars where somebody watches, lines where not."""
    return Bars(console) if console.is_terminal else Lines()

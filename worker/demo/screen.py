"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

from collections import deque
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas.classification import Classification

_ROWS = 12
_PLAIN_FIRST, _PLAIN_EVERY = 12, 1000  # elsewhere than on a terminal: the first few results, then one in so many


class Screen(Protocol):
    """Where the demo's results appear."""

    def result(self, result: Classification) -> None:
        """One more result has arrived."""

    def progress(self, line: str) -> None:
        """The one line that tells how far it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LiveScreen:
    """The last results in a table that is drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        self._rows: deque[Classification] = deque(maxlen=_ROWS)
        self._line = ""
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._render)

    def result(self, result: Classification) -> None:
        """Take a result in; the oldest row leaves."""
        self._rows.append(result)

    def progress(self, line: str) -> None:
        """Set the line below the table."""
        self._line = line

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def _render(self) -> Group:
        table = Table(expand=True)
        table.add_column("url", ratio=5, no_wrap=True, overflow="ellipsis")
        table.add_column("lang", width=4)
        table.add_column("labels", ratio=2, no_wrap=True, overflow="ellipsis")
        table.add_column("probability", width=11, justify="right")
        table.add_column("model", width=16, no_wrap=True)
        for result in self._rows:
            table.add_row(*(Text(cell) for cell in _cells(result)))
        return Group(table, Text(self._line))


class PlainScreen:
    """Lines, for a pipe or a log: some of the results, and the progress now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen = 0

    def result(self, result: Classification) -> None:
        """Print some of them."""
        if self._seen < _PLAIN_FIRST or self._seen % _PLAIN_EVERY == 0:
            url, lang, labels, probability, model = _cells(result)
            self._console.print(Text(f"  {lang}  {labels:<12}{probability:>6}  {url}  (model {model})"), soft_wrap=True)
        self._seen += 1

    def progress(self, line: str) -> None:
        """The lines of results show that already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


def _cells(result: Classification) -> tuple[str, str, str, str, str]:
    best = f"{result.classes[0][1]:.2f}" if result.classes else ""
    labels = ", ".join(result.labels) or str(result.status)
    return result.url, result.lang, labels, best, result.model.version if result.model else ""

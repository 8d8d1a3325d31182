"""Results as rows for people: fixed widths, so that rows that come later stand under those that came before."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.classification import Classification, Status
from worker.commands.output import printable, reader_may_leave

TOMBSTONE = "tombstone"
_TOP = 3
_LANG_WIDTH, _AGE_WIDTH, _MIN_WIDTH = 4, 8, 60


class Row(NamedTuple):
    """One line of the table."""

    url: str
    lang: str
    labels: Text
    classes: str
    age: str


class ResultTable:
    """Prints rows as they come, with the header above the first ones."""

    def __init__(self, console: Console, *, with_age: bool) -> None:
        """`with_age` adds the column that tells how old a result was when it was read."""
        self._console = console
        self._with_age = with_age
        self._header = True

    def show(self, rows: Sequence[Row]) -> None:
        """Print some more rows."""
        if not rows:
            return
        table = self._table()
        for row in rows:
            cells = [Text(row.url), Text(row.lang), row.labels, Text(row.classes), Text(row.age, justify="right")]
            table.add_row(*cells[: len(table.columns)])
        with reader_may_leave():
            self._console.print(table)
            self._console.file.flush()
        self._header = False

    def _table(self) -> Table:
        width = max(_MIN_WIDTH, self._console.width)
        table = Table(box=None, show_header=self._header, padding=(0, 2, 0, 0), pad_edge=False)
        rest = width - _LANG_WIDTH - 2 * 4 - (_AGE_WIDTH if self._with_age else 0)
        labels, classes = rest // 5, rest * 2 // 5
        for name, size in (("url", rest - labels - classes), ("lang", _LANG_WIDTH), ("labels", labels)):
            table.add_column(name, width=size, no_wrap=True, overflow="ellipsis")
        table.add_column("most probable", width=classes, no_wrap=True, overflow="ellipsis")
        if self._with_age:
            table.add_column("age", width=_AGE_WIDTH, no_wrap=True, justify="right")
        return table


def result_row(result: Classification, age: str = "") -> Row:
    """The row of a classification."""
    return Row(printable(result.url), printable(result.lang, 8), _labels(result), _classes(result.classes), age)


def tombstone_row(url: str, age: str = "") -> Row:
    """The row of a deletion: the page is gone, and so is its result."""
    return Row(url, "", Text(TOMBSTONE, style="dim"), "", age)


def _labels(result: Classification) -> Text:
    if result.status is not Status.CLASSIFIED:
        return Text(str(result.status).replace("_", " "), style="yellow")
    if not result.labels:
        return Text("none above its threshold", style="dim")
    return Text(printable(", ".join(result.labels)), style="green")


def _classes(classes: Sequence[tuple[str, float]]) -> str:
    return "  ".join(f"{printable(name)} {prob:.2f}" for name, prob in classes[:_TOP])

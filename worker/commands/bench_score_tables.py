"""The tables of `clf bench score`."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from worker.bench.score_corpus import TOLERANCE, Cost, Measured
from worker.bench.score_growth import Curve
from worker.bench.score_open import Opening
from worker.bench.score_plot import text_plot
from worker.commands.output import counted

_MEBI = 2**20
_SHOWN_MEMORY = ("Rss", "Pss", "Pss_File", "Pss_Anon", "Shared_Clean", "Private_Dirty")


def show_measured(console: Console, measured: Measured) -> None:
    """Batches, single documents and agreement of all contenders with one model."""
    amount = measured.amount
    length = amount.characters / max(amount.documents, 1)
    title = (
        f"{measured.corpus}, {measured.variant}: {counted(amount.documents, 'document')} of {length:,.0f} characters, "
        f"{measured.classes} classes, {measured.terms:,} terms"
    )
    columns = ("us/document", "MB/s", "ns/char", "ratio", "one: median us", "p99 us", "ratio", "2 threads")
    table = _table(title, "contender", *columns, "max difference")
    for speed in measured.speeds:
        reference = measured.reference
        table.add_row(
            speed.contender,
            f"{speed.microseconds_per_document:,.2f}",
            f"{speed.megabytes_per_second:,.1f}",
            f"{speed.nanoseconds_per_character:,.2f}",
            f"{reference.median / speed.median:.2f}",
            f"{speed.single_median:,.1f}",
            f"{speed.single_p99:,.1f}",
            f"{reference.single_median / speed.single_median:.2f}",
            "" if speed.two_threads is None else f"{speed.two_threads:.2f}",
            "" if speed is reference else f"{speed.difference.absolute:.1e}",
        )
    console.print(table)


def show_many(console: Console, costs: Sequence[Cost], first: Measured, second: Measured) -> None:
    """What many classes cost."""
    title = f"{first.variant}: time per character, {second.classes} classes by {first.classes} classes"
    columns = (f"ns/char, {first.classes} classes", f"ns/char, {second.classes} classes", "times as long")
    table = _table(title, "contender", *columns)
    for cost in costs:
        table.add_row(cost.contender, f"{cost.first:,.2f}", f"{cost.second:,.2f}", f"{cost.times:.2f}")
    console.print(table)


def show_openings(console: Console, openings: Sequence[Opening], title: str) -> None:
    """Time until the first score, and memory of a second process."""
    slowest = max(opening.seconds for opening in openings)
    columns = ("until first score s", "ratio", "open s", "build s", "first score s", "(imports s)")
    table = _table(title, "scorer", *columns)
    for opening in openings:
        stages = opening.stages
        times = [f"{stages[name]:.3f}" for name in ("open", "build", "first_score", "import")]
        table.add_row(opening.scorer, f"{opening.seconds:.3f}", f"{slowest / opening.seconds:.2f}", *times)
    console.print(table)
    _show_memory(console, openings)


def _show_memory(console: Console, openings: Sequence[Opening]) -> None:
    if not all(opening.memory for opening in openings):
        console.print("This kernel does not tell which memory is shared (/proc/self/smaps_rollup).")
        return
    table = _table(
        "Memory in MiB of a process that opens the bundle while another one has it open", "scorer", *_SHOWN_MEMORY
    )
    for opening in openings:
        for name, kinds in (("before opening", opening.memory_before), ("after the first score", opening.memory)):
            table.add_row(
                f"{opening.scorer}, {name}", *(f"{kinds.get(kind, 0) / _MEBI:,.1f}" for kind in _SHOWN_MEMORY)
            )
    console.print(table)


def show_curve(console: Console, curve: Curve, title: str) -> None:
    """A row per size, the exponents, and the plot."""
    table = _table(title, curve.size_name, *(f"{name}, ns/{curve.unit}" for name in curve.nanoseconds))
    for number, size in enumerate(curve.sizes):
        table.add_row(f"{size:,}", *(f"{values[number]:,.2f}" for values in curve.nanoseconds.values()))
    table.add_row("grows like size to the power", *(f"{value:.2f}" for value in curve.exponents.values()))
    console.print(table)
    for line in text_plot(curve):
        console.print(line, markup=False)


def show_reading(console: Console) -> None:
    """How to read the tables."""
    console.print(
        "One thread. Ratios: how many times as quick as scikit-learn's pipeline; medians of rounds in turn. One: one "
        "document per call. 2 threads: their throughput by that of one. Max difference: of decisions, over all "
        f"documents; above {TOLERANCE:.0e} (relative where a decision is larger than 1) the command fails."
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    return table

"""What `clf train` says on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.bundle import Manifest
from training.corpus import Corpus, ReadingReport
from training.remarks import names
from training.trainer import TrainedModel


def show_reading(console: Console, report: ReadingReport) -> None:
    """The bad lines: the first of them one by one, then how many more, then how many of each kind."""
    for bad in report.first_bad:
        console.print(f"[yellow]bad line[/] {escape(str(bad))}", soft_wrap=True)
    if report.bad_lines > len(report.first_bad):
        console.print(f"[yellow]bad line[/] ... and {report.bad_lines - len(report.first_bad)} more")
    if report.bad_lines:
        kinds = ", ".join(f"{count} {problem}" for problem, count in sorted(report.bad.items()))
        console.print(f"[yellow]{report.bad_lines} of {report.lines} lines cannot be used[/]: {kinds}", soft_wrap=True)
    if report.other_language:
        console.print(f"{report.other_language} lines of other languages were skipped.")


def show_training(console: Console, corpus: Corpus, model: TrainedModel) -> None:
    """Documents, classes, what was chosen, what was reached, and what a person should know."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _facts(corpus, model):
        table.add_row(name, escape(value))
    console.print(table)
    for remark in model.remarks:
        console.print(f"[yellow]note[/] {escape(remark)}", soft_wrap=True)


def _facts(corpus: Corpus, model: TrainedModel) -> Sequence[tuple[str, str]]:
    reached = model.decided.reached
    kind = "one label each" if corpus.single_label else "several labels each"
    return (
        ("documents", f"{len(corpus.texts)} ({kind}) from {corpus.report.files} files"),
        ("classes", f"{len(corpus.classes)}: {names(corpus.classes)}"),
        ("terms", str(len(model.content.terms))),
        ("chosen", f"{model.parameters} (the best of {len(model.tried)} settings tried)"),
        ("labels", _describe_labels(model)),
        ("cross-validated", f"micro-F1 {reached.micro_f1:.3f}, macro-F1 {reached.macro_f1:.3f}"),
        (
            "calibration error",
            f"{reached.calibration_error:.3f}, {reached.top_calibration_error:.3f} for the first class",
        ),
        ("coverage", f"{reached.coverage:.1%} of the documents get a label"),
    )


def _describe_labels(model: TrainedModel) -> str:
    low, high = min(model.content.thresholds), max(model.content.thresholds)
    thresholds = f"threshold {low:.2f}" if low == high else f"thresholds {low:.2f} to {high:.2f}"
    return f"{model.decided.chosen.candidate.rule}, {thresholds}, fallback {model.content.fallback}"


def show_written(console: Console, manifest: Manifest, root: Path, seconds: float, *, active: bool) -> None:
    """Where the model is."""
    state = "active" if active else "not active"
    place = f"{escape(str(root))}/{manifest.lang}/{manifest.version}"
    console.print(f"Wrote {place} ({state}, digest {manifest.digest[:16]}) in {seconds:.1f} s.", soft_wrap=True)


def show_next(console: Console, manifest: Manifest, root: Path) -> None:
    """What one does with a new model."""
    which = f"--models {escape(str(root))} --lang {manifest.lang} --version {manifest.version}"
    console.print(f"Next: clf evaluate {which} --data HELD_OUT.jsonl", soft_wrap=True)

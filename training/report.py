"""An evaluation for the terminal, for programs and for the browser."""

import json
from pathlib import Path

import click
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.evaluation import ClassScores, Evaluation, Measured

_SHOWN_CLASSES = 40
_SHORT_COLUMNS = ("docs", "given", "prec.", "recall", "F1", "thresh.", "AP", "ECE")
_COLUMNS = ("documents", "given", "precision", "recall", "F1", "threshold", "avg. precision", "calibration error")


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """The headline numbers and a table of the classes, the largest first."""
    console.print(
        f"[bold]{evaluation.lang}/{evaluation.version}[/] on {evaluation.documents} documents", highlight=False
    )
    for name, value, _ in headline(evaluation):
        console.print(f"  {name:<28} [bold]{value}[/]", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", overflow="fold")
    for name in _SHORT_COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for item in _by_size(evaluation)[:_SHOWN_CLASSES]:
        table.add_row(escape(item.name), *_cells(item))
    console.print(table)
    if len(evaluation.classes) > _SHOWN_CLASSES:
        console.print(
            f"... and {len(evaluation.classes) - _SHOWN_CLASSES} smaller classes; --json and --html show all."
        )
    if evaluation.unknown_classes:
        unknown = ", ".join(evaluation.unknown_classes)
        console.print(f"[yellow]note[/] The model does not know these labels: {escape(unknown)}", soft_wrap=True)


def headline(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value and meaning of the numbers that come first."""
    return [
        ("micro-F1", f"{evaluation.micro_f1:.4f}", "harmonic mean of precision and recall over all labels"),
        ("macro-F1", f"{evaluation.macro_f1:.4f}", "mean F1 of the classes, each counting the same"),
        ("precision", f"{evaluation.micro_precision:.4f}", "share of the labels given that are right"),
        ("recall", f"{evaluation.micro_recall:.4f}", "share of the true labels that were given"),
        ("exact label sets", f"{evaluation.exact:.4f}", "share of the documents with exactly the true labels"),
        ("coverage", f"{evaluation.coverage:.4f}", "share of the documents with at least one label"),
        (
            "calibration error",
            f"{evaluation.calibration_error:.4f}",
            "expected calibration error over all (document, class) pairs: mean gap between probability and frequency",
        ),
        (
            "calibration error, top class",
            f"{evaluation.top_calibration_error:.4f}",
            "the same for the most probable class of each document",
        ),
        ("documents without known term", str(evaluation.no_known_term), "they get neither labels nor probabilities"),
    ]


def to_json(evaluation: Evaluation) -> str:
    """All numbers, for programs."""
    return json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_html(evaluation: Evaluation, measured: Measured) -> str:
    """One page that needs nothing else: no scripts, no fonts, no network."""
    from training import plots  # noqa: PLC0415 - matplotlib takes a second to import, and only this page needs it

    environment = Environment(
        loader=PackageLoader("training"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The plots are our own SVG, in which matplotlib has escaped all names.
    drawn = {
        "precision_recall": Markup(plots.plot_precision_recall(measured)),  # noqa: S704 - as said above
        "pairs": Markup(plots.plot_reliability(measured.pair_bins)),  # noqa: S704 - as said above
        "top": Markup(plots.plot_reliability(measured.top_bins)),  # noqa: S704 - as said above
        "confusion": Markup(plots.plot_confusion(measured)),  # noqa: S704 - as said above
    }
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        headline=headline(evaluation),
        columns=_COLUMNS,
        rows=[(item.name, _cells(item)) for item in _by_size(evaluation)],
        plots=drawn,
        shown_curves=plots.SHOWN_CURVES,
        shown_confused=plots.SHOWN_CONFUSED,
    )


def write_text(path: Path, text: str) -> None:
    """Write a report; "-" is standard output. A file is replaced only when the new one is whole.

    Raises:
        OSError: it cannot be written.
    """
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _cells(item: ClassScores) -> list[str]:
    ratios = [f"{value:.3f}" for value in (item.precision, item.recall, item.f1)]
    threshold = "unknown" if item.threshold is None else f"{item.threshold:.2f}"
    ends = [f"{item.average_precision:.3f}", f"{item.calibration_error:.3f}"]
    return [str(item.documents), str(item.predicted), *ratios, threshold, *ends]


def _by_size(evaluation: Evaluation) -> list[ClassScores]:
    return sorted(evaluation.classes, key=lambda item: (-item.documents, item.name))

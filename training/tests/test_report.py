"""Reports: complete, self-contained, and safe with hostile names."""

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from training.evaluation import ClassScores, Evaluation, Measured
from training.plots import plot_confusion, plot_precision_recall, plot_reliability
from training.report import show_evaluation, to_html, to_json, write_text

HOSTILE = ("<script>alert(1)</script>", "a $x_1$ & b", "Հայերեն 中文", "[bold]x[/]", "n" * 100, "plain")


def make_measured(documents: int = 80) -> Measured:
    """Random scores of six classes with names that need care."""
    random = np.random.default_rng(0)
    truth = random.random((documents, len(HOSTILE))) < 0.3
    probabilities = np.clip(truth * 0.6 + random.random(truth.shape) * 0.4, 0, 1)
    known = np.ones(documents, dtype=bool)
    return Measured(HOSTILE, truth, probabilities > 0.5, probabilities, known, len(HOSTILE))


def make_evaluation(unknown: Sequence[str] = ()) -> Evaluation:
    """Numbers to show; those of the classes are made up."""
    classes = tuple(ClassScores(name, 10, 9, 0.5, 0.25, 1 / 3, 0.5, 0.6, 0.01) for name in HOSTILE)
    return Evaluation(
        "en", "v1", "0" * 16, 80, "1" * 64, 0.9, 0.8, 0.85, 0.7, 1.0, 2, 0.6, 0.01, 0.02, tuple(unknown), classes
    )


def test_the_page_fetches_nothing() -> None:
    """No link, script, import or address that a browser would ask the network for."""
    page = to_html(make_evaluation(), make_measured())
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b", page)
    assert not re.search(r"""\b(src|href)\s*=\s*(?!"#)""", page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_the_page_escapes_class_names() -> None:
    """A label with markup stays text, in the table and in the plots."""
    page = to_html(make_evaluation(HOSTILE[:1]), make_measured())
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_has_all_parts_and_both_colour_schemes() -> None:
    """Four plots, the numbers, every class, light and dark."""
    page = to_html(make_evaluation(), make_measured())
    assert page.count("<svg") == 4
    assert "prefers-color-scheme: dark" in page
    assert "0.8500" in page
    assert page.count("<tr>") == 1 + len(HOSTILE)


def test_equal_evaluations_give_equal_pages() -> None:
    """No dates and no random identifiers."""
    assert to_html(make_evaluation(), make_measured()) == to_html(make_evaluation(), make_measured())


@pytest.mark.parametrize("plot", [plot_precision_recall, plot_confusion])
def test_plots_are_well_formed_and_show_names_as_they_are(plot: Callable[[Measured], str]) -> None:
    """Dollar signs are no formulas, and letters of any script get through."""
    root = ET.fromstring(plot(make_measured()))  # noqa: S314 - our own output
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    for name in ("a $x_1$ & b", "Հայերեն 中文", "<script>alert(1)</script>"):
        assert name in texts


def test_the_reliability_plot_names_the_number_of_pairs() -> None:
    """Each point says how much stands behind it."""
    bins = make_measured().pair_bins
    plot = plot_reliability(bins)
    assert all(f">{item.pairs:,}<" in plot.replace("\n", "") or f"{item.pairs:,}" in plot for item in bins)
    ET.fromstring(plot)  # noqa: S314 - our own output


def test_plots_of_nothing_are_still_plots() -> None:
    """No known document, no positive class: empty axes, no error."""
    empty = np.zeros((3, 2), dtype=bool)
    measured = Measured(("a", "b"), empty, empty, np.zeros((3, 2)), np.zeros(3, dtype=bool), 2)
    for plot in (plot_precision_recall(measured), plot_confusion(measured), plot_reliability(measured.top_bins)):
        ET.fromstring(plot)  # noqa: S314 - our own output


def test_the_table_shows_headline_and_classes() -> None:
    """Names with markup are printed as they are."""
    console = Console(width=160, record=True, file=io.StringIO())
    show_evaluation(console, make_evaluation(["zebra"]))
    text = console.export_text()
    assert "micro-F1" in text
    assert "0.8500" in text
    assert "[bold]x[/]" in text
    assert "does not know these labels: zebra" in text


def test_the_json_report_is_one_object() -> None:
    """It ends with a line feed and parses."""
    text = to_json(make_evaluation())
    assert text.endswith("}\n")
    assert json.loads(text)["macro_f1"] == 0.7


def test_a_report_replaces_an_old_one_whole(tmp_path: Path) -> None:
    """The new text stands under the name, and nothing else is left behind."""
    path = tmp_path / "report.json"
    path.write_text("old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A directory that is missing is an error, and no half file appears."""
    with pytest.raises(OSError, match="No such file"):
        write_text(tmp_path / "missing" / "report.json", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """For pipes."""
    write_text(Path("-"), "{}\n")
    assert capsys.readouterr().out == "{}\n"

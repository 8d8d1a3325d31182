"""The plots of the evaluation report, as SVG that lives inside the page."""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation import Measured, precision_recall
from training.scores import Bin, Flags

SHOWN_CURVES = 8
SHOWN_CONFUSED = 20
_MAX_POINTS = 300
_SMALLEST_SHARE = 0.005
_DARK_SHARE = 0.3
# None leaves a field out: equal evaluations give equal pages.
_METADATA = ("Creator", "Date", "Format", "Type")
_MAX_NAME_CHARS = 28
# A mid grey is readable on white and on black; grounds are transparent.
_INK = "#808080"
_BLUE = "#3b82c4"
_COLOURS = (_BLUE, "#e07b39", "#3a9d5d", "#c0504d", "#8e6bbf", "#b8860b", "#d05fa2", "#2a9d9d")
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "clf",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.facecolor": "none",
    "legend.frameon": False,
}


def plot_precision_recall(measured: Measured) -> str:
    """Precision over recall: all (document, class) pairs together, and the largest classes one by one."""

    def draw(axes: Axes) -> None:
        columns = slice(0, measured.model_classes)
        pairs = measured.probabilities[:, columns].ravel(), measured.truth[:, columns].ravel()
        _draw_curve(axes, *pairs, name="all classes", colour=_INK, width=2.5)
        for column, colour in zip(_largest(measured, SHOWN_CURVES), _COLOURS, strict=False):
            pairs = measured.probabilities[:, column], measured.truth[:, column]
            _draw_curve(axes, *pairs, name=_short(measured.names[column]), colour=colour, width=1.2)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        axes.legend(loc="lower left", fontsize=8)

    return _svg(draw, (5.6, 4.2))


def plot_reliability(bins: Sequence[Bin]) -> str:
    """How often a class was true over how probable it was called; on the diagonal both agree."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], linestyle="--", color=_INK, linewidth=1)
        axes.plot([item.confidence for item in bins], [item.accuracy for item in bins], color=_BLUE, marker="o")
        for item in bins:
            place = (item.confidence, item.accuracy)
            axes.annotate(f"{item.pairs:,}", place, (5, -10), textcoords="offset points", fontsize=7)
        axes.set(xlabel="probability given", ylabel="share that was true", xlim=(-0.02, 1.1), ylim=(-0.04, 1.04))

    return _svg(draw, (4.4, 4.2))


def plot_confusion(measured: Measured) -> str:
    """For each true class (row) the percentage of its documents that were given each class (column)."""
    columns = _largest(measured, SHOWN_CONFUSED)
    given = measured.truth[:, columns].T.astype(float) @ measured.predicted[:, columns]
    shares = given / np.maximum(measured.truth[:, columns].sum(axis=0), 1)[:, None]
    names = [_short(measured.names[column]) for column in columns]
    if not columns:
        return _svg(lambda axes: axes.set_axis_off(), (2, 2))
    side = 2.2 + 0.36 * len(columns)

    def draw(axes: Axes) -> None:
        colours = LinearSegmentedColormap.from_list("clf", ["#3b82c400", "#3b82c4ff"])
        axes.pcolormesh(np.arange(len(names)), np.arange(len(names)), shares, cmap=colours, vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="given", ylabel="true")
        for row, column in np.argwhere(shares >= _SMALLEST_SHARE):
            share = f"{100 * shares[row, column]:.0f}"
            ink = "white" if shares[row, column] > _DARK_SHARE else _INK
            axes.text(column, row, share, ha="center", va="center", fontsize=7, color=ink)

    return _svg(draw, (side, side))


def _largest(measured: Measured, most: int) -> list[int]:
    """The classes with the most documents, columns of the model only."""
    sizes = measured.truth[:, : measured.model_classes].sum(axis=0)
    return [int(column) for column in np.argsort(-sizes, kind="stable")[:most] if sizes[column]]


def _draw_curve(axes: Axes, scores: NDArray[np.float64], truth: Flags, *, name: str, colour: str, width: float) -> None:
    precision, recall = precision_recall(scores, truth)
    shown = np.unique(np.linspace(0, len(recall) - 1, _MAX_POINTS).astype(np.intp))
    axes.plot(recall[shown], precision[shown], label=name, color=colour, linewidth=width)


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME_CHARS else name[: _MAX_NAME_CHARS - 1] + "…"


def _svg(draw: Callable[[Axes], None], inches: tuple[float, float]) -> str:
    """One plot as an <svg> element; no global state of matplotlib is touched."""
    with mpl.rc_context(cast("Any", _STYLE)), warnings.catch_warnings():
        # Letters are drawn by the browser, whatever matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=inches, layout="tight", facecolor="none")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(_METADATA))
    document = buffer.getvalue()
    return document[document.index("<svg") :]

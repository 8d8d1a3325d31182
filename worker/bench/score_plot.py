"""Plots of growth: in text characters, for a terminal and BENCHMARKS.md, and as SVG."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from worker.bench.score_growth import Curve

_HEIGHT: Final = 12
_STEP: Final = 10
_MARKS: Final = "*+ox#"
_INK: Final = "#808080"
# Above and below the curves, as a natural logarithm.
_MARGIN: Final = 0.1


def text_plot(curve: Curve, height: int = _HEIGHT) -> list[str]:
    """Lines of text: sizes from left to right, nanoseconds on a logarithmic axis upwards.

    Where two contenders meet, the mark of the first one shows.
    """
    bottom, top = _bounds([value for row in curve.nanoseconds.values() for value in row])
    columns = len(curve.sizes)
    grid = [[" "] * (columns * _STEP) for _ in range(height)]
    for mark, values in reversed(list(zip(_MARKS, curve.nanoseconds.values(), strict=False))):
        for column, value in enumerate(values):
            row = round((math.log(value) - bottom) / (top - bottom) * (height - 1))
            grid[height - 1 - row][column * _STEP + _STEP // 2] = mark
    lines = [f"ns per {curve.unit} (logarithmic)"]
    for number, cells in enumerate(grid):
        value = math.exp(top - (top - bottom) * number / (height - 1))
        lines.append(f"{_short(value):>7} |{''.join(cells).rstrip()}")
    lines.append(" " * 8 + "+" + "-" * (columns * _STEP))
    lines.append(" " * 9 + "".join(_short(size).center(_STEP + 1)[:_STEP] for size in curve.sizes).rstrip())
    marks = "   ".join(f"{mark} {name}" for mark, name in zip(_MARKS, curve.nanoseconds, strict=False))
    lines.append(f"{'':9}{curve.size_name}; {marks}")
    return lines


def write_svg(curves: Sequence[Curve], path: Path) -> None:
    """The same as a picture, one panel per curve, readable on white and on black."""
    import matplotlib as mpl  # noqa: PLC0415 - only a run that is asked for a picture needs it
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    colours = {f"{part}.color": _INK for part in ("text", "xtick", "ytick")}
    axes_style = {"axes.edgecolor": _INK, "axes.labelcolor": _INK, "axes.facecolor": "none"}
    style = {**colours, **axes_style, "legend.frameon": False, "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(cast("Any", style)):
        figure = Figure(figsize=(5.2 * len(curves), 3.6), layout="tight", facecolor="none")
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, curve in zip(panels, curves, strict=True):
            for name, values in curve.nanoseconds.items():
                axes.plot(curve.sizes, values, marker="o", label=name)
            axes.set(xscale="log", yscale="log", xlabel=curve.size_name, ylabel=f"ns per {curve.unit}")
            axes.legend()
        figure.savefig(path, format="svg")


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the logarithmic axis, at least a power of ten apart: a flat curve must look flat."""
    low, high = math.log(min(values)), math.log(max(values))
    margin = max(_MARGIN, (math.log(10) - (high - low)) / 2)
    return low - margin, high + margin


def _short(value: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"

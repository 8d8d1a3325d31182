"""Draws the dashboard's panels from a running Prometheus, for places without Grafana, such as the README.

`python -m deploy.grafana.pictures http://127.0.0.1:9090 --minutes 15 --out deploy/grafana/clf.png`
"""

import argparse
import math
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import dates, ticker
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deploy.grafana.panels import ROWS, Kind, Panel, Row
from deploy.grafana.prometheus_api import Series, Window, ask
from worker.clock import SystemClock

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
_COLORS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
_INK, _FAINT, _LIMIT = "#222222", "#dddddd", "#cc0000"
_COLUMNS, _INCHES, _ROW_INCHES, _NUMBER_INCHES = 24, 16.0, 2.7, 1.1
_LEFT, _RIGHT = 0.9, 0.25  # of a panel, in columns: its scale, and room to the next one
_BELOW, _ABOVE = 0.3, 0.35  # in inches: its times, its title
_MOST_NAMES, _NAMES_IN_COLUMN = 8, 4
_POINTS: Final = 180
_ROOM_FOR_NAMES: Final = 1.3
_DAY, _MINUTE, _THOUSAND = 86_400, 60, 1000


def draw(url: str, window: Window, out: Path, rows: Sequence[Row] = ROWS) -> None:
    """All panels as one PNG.

    Raises:
        OSError: Prometheus does not answer, or the file cannot be written.
    """
    lines = [line for row in rows for line in _lines(row)]
    heights = [_NUMBER_INCHES if line[0].kind is Kind.NUMBER else _ROW_INCHES for line in lines]
    total = sum(heights)
    figure = plt.figure(figsize=(_INCHES, total))
    top = total
    for line, height in zip(lines, heights, strict=True):
        top -= height
        column = 0
        for panel in line:
            left, width = (column + _LEFT) / _COLUMNS, (panel.width - _LEFT - _RIGHT) / _COLUMNS
            axes = figure.add_axes((left, (top + _BELOW) / total, width, (height - _BELOW - _ABOVE) / total))
            _draw(figure, axes, panel, ask(url, panel, window))
            if panel.kind not in (Kind.NUMBER, Kind.TABLE):
                axes.set_xlim(window.begin / _DAY, window.end / _DAY)
            column += panel.width
    figure.savefig(out, dpi=75, pil_kwargs={"optimize": True})
    plt.close(figure)


def _lines(row: Row) -> list[list[Panel]]:
    """The panels of a row as they are broken into lines."""
    lines: list[list[Panel]] = [[]]
    for panel in row.panels:
        if sum(one.width for one in lines[-1]) + panel.width > _COLUMNS:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _draw(figure: Figure, axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    axes.set_title(panel.title, fontsize=9, loc="left", color=_INK, fontweight="bold")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(labelsize=7, colors=_INK, length=2)
    if panel.kind is Kind.NUMBER:
        _number(axes, panel, series)
    elif panel.kind is Kind.TABLE:
        _table(axes, series)
    elif not series:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes, fontsize=8, color=_INK)
    else:
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _told(value, panel.unit)))
        axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))  # type: ignore[no-untyped-call] # not annotated
        _heat(figure, axes, panel, series) if panel.kind is Kind.HEAT else _curves(axes, panel, series)


def _curves(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    largest = sorted(series, key=lambda one: -float(np.nansum(one.values)))
    shown = sorted(largest[:_MOST_NAMES], key=lambda one: one.legend)
    if panel.kind is Kind.STACK:
        times, columns = _aligned(series)
        order = [*shown, *(one for one in series if one not in shown)]
        stacked = [np.nan_to_num(columns[id(one)]) for one in order]
        axes.stackplot(times, stacked, colors=[_COLORS[n % len(_COLORS)] for n in range(len(order))], alpha=0.75)
    else:
        for number, one in enumerate(shown):
            axes.plot(_moments(one.times), one.values, color=_COLORS[number], linewidth=1.2)
    if panel.limit is not None:
        axes.axhline(panel.limit, color=_LIMIT, linewidth=1)
    axes.set_ylim(0, max(axes.get_ylim()[1], panel.limit or 0) * _ROOM_FOR_NAMES)
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    handles = [Line2D([], [], color=_COLORS[number], linewidth=3) for number in range(len(shown))]
    names = [one.legend for one in shown]
    if len(series) > len(shown):
        names[-1] += f" (and {len(series) - len(shown)} more)"
    if any(names):
        beside = 1 if len(names) <= _NAMES_IN_COLUMN else 2
        axes.legend(handles, names, fontsize=6.5, frameon=False, loc="upper left", ncols=beside, borderpad=0)


def _heat(figure: Figure, axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    """Buckets are cumulative: what fell into one is its count less that of the one below."""
    buckets = sorted(series, key=lambda one: float(one.labels["le"]))
    times, columns = _aligned(buckets)
    counts = np.diff([np.zeros(len(times)), *(np.nan_to_num(columns[id(one)]) for one in buckets)], axis=0)
    shown = np.ma.masked_less_equal(counts, 0)
    image = axes.pcolormesh(times, range(len(buckets)), shown, cmap="Oranges", shading="nearest", vmin=0)
    axes.yaxis.set_major_formatter(
        ticker.FuncFormatter(
            lambda at, _: _told(float(buckets[round(at)].labels["le"]), panel.unit) if 0 <= at < len(buckets) else ""
        )
    )
    axes.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=30)
    bar.ax.tick_params(labelsize=6, length=2)
    bar.outline.set_visible(False)


def _number(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    axes.set_axis_off()
    value = _told(series[0].values[-1], panel.unit) if series else "no data"
    axes.text(0, 0.4, value, fontsize=20, color=_COLORS[0], va="center", transform=axes.transAxes)


def _table(axes: Axes, series: Sequence[Series]) -> None:
    axes.set_axis_off()
    if not series:
        return
    names = sorted(series[0].labels)
    rows = [[*(one.labels.get(name, "") for name in names), f"{one.values[-1]:g}"] for one in series]
    made = axes.table([*sorted(rows)], colLabels=[*names, "processes"], loc="upper left", cellLoc="left", edges="B")
    made.auto_set_font_size(value=False)
    made.set_fontsize(7)


def _aligned(series: Sequence[Series]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The times of all series, and each one's values at them, by its identity; NaN where it has none."""
    times = sorted({moment for one in series for moment in one.times})
    place = {moment: index for index, moment in enumerate(times)}
    columns = {}
    for one in series:
        column = np.full(len(times), np.nan)
        column[[place[moment] for moment in one.times]] = one.values
        columns[id(one)] = column
    return _moments(times), columns


def _moments(times: Sequence[float]) -> np.ndarray:
    """Unix seconds as matplotlib counts time: in days."""
    return np.array(times) / _DAY


def _told(value: float, unit: str) -> str:
    if math.isnan(value) or math.isinf(value):
        return "never" if value > 0 else "-"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * _THOUSAND:.3g} ms"
    if unit == "s":
        return f"{value:.3g} s" if value < 2 * _MINUTE else f"{value / _MINUTE:.3g} min"
    return f"{value:.3g}" if abs(value) < _THOUSAND else f"{value / _THOUSAND:.3g} k"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Draw the dashboard's panels from a running Prometheus.")
    parser.add_argument("url", help="of Prometheus, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=15, help="how far back (default: %(default)s)")
    parser.add_argument("--rate", default="1m", help="the window of rates, 4 scrapes or more (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("clf.png"))
    given = parser.parse_args()
    end, seconds = SystemClock().time(), given.minutes * _MINUTE
    draw(given.url, Window(end - seconds, end, seconds / _POINTS, given.rate), given.out)


if __name__ == "__main__":
    main()

"""Makes clf.json, Grafana's dashboard, of the panels in panels.py: `python -m deploy.grafana.dashboard`.

The JSON is committed: a Grafana that has only the file needs no Python. A test compares the two.
"""

import json
from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from deploy.grafana.panels import ROWS, Kind, Panel, Query, filled

FILE: Final = Path(__file__).with_name("clf.json")
SELECTION: Final = 'dc=~"$dc"'
_SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_ALL: Final = ".*"  # of a label that may be missing: a Prometheus of one data centre needs to set none
_HEIGHT, _NUMBER_HEIGHT = 8, 4
_FILL: Final = {Kind.LINES: 0, Kind.STACK: 40}


_Builder = heatmap.Panel | stat.Panel | table.Panel | timeseries.Panel


def text() -> str:
    """The dashboard as JSON."""
    made = dashboard.Dashboard("clf: classifier workers")
    made.uid("clf").tags(["clf", "generated"]).readonly().tooltip(models.DashboardCursorSync.CROSSHAIR)
    made.description("Made by deploy/grafana/dashboard.py; changes belong into panels.py beside it.")
    made.time("now-3h", "now").refresh("30s").timezone("browser")
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    made.with_variable(
        dashboard.QueryVariable("dc")
        .label("Data centre")
        .datasource(_SOURCE)
        .query("label_values(clf_build_info, dc)")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003 - the library's signature
        .include_all(True)  # noqa: FBT003 - as above
        .all_value(_ALL)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )
    number = count(1)  # links to a panel name it
    for row in ROWS:
        made.with_row(dashboard.Row(row.title).id(next(number)))
        for panel in row.panels:
            made.with_panel(_built(panel).id(next(number)))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _built(panel: Panel) -> _Builder:
    builder = _of_kind(panel)
    builder.title(panel.title).description(panel.description).datasource(_SOURCE).unit(panel.unit)
    builder.span(panel.width).height(_NUMBER_HEIGHT if panel.kind is Kind.NUMBER else _HEIGHT)
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        builder.with_target(_target(panel.kind, query).ref_id(letter))
    return builder


def _of_kind(panel: Panel) -> _Builder:
    if panel.kind is Kind.HEAT:
        colors = heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
        return heatmap.Panel().calculate(False).color(colors).hide_legend()  # noqa: FBT003 - the library's signature
    if panel.kind is Kind.NUMBER:
        numbers = stat.Panel().graph_mode(common_models.BigValueGraphMode.AREA).color_scheme(_plain())
        return numbers.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if panel.kind is Kind.TABLE:
        hidden = models.DataTransformerConfig(
            id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": {"Value": "processes"}}
        )
        return table.Panel().with_transformation(hidden)
    lines = timeseries.Panel().min(0).fill_opacity(_FILL[panel.kind]).show_points(common_models.VisibilityMode.NEVER)
    lines.legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST).show_legend(True))  # noqa: FBT003 - as above
    lines.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    if panel.kind is Kind.STACK:
        lines.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if panel.limit is not None:
        steps = [models.Threshold(None, "transparent"), models.Threshold(panel.limit, "red")]
        lines.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        lines.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.LINE))
    return lines


def _plain() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color("blue")


def _target(kind: Kind, query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(filled(query, SELECTION, "$__rate_interval")).datasource(_SOURCE)
    target.legend_format(query.legend or "__auto")
    if kind is Kind.HEAT:
        return target.format(prometheus_models.PromQueryFormat.HEATMAP)
    if kind is Kind.TABLE:
        return target.instant().format(prometheus_models.PromQueryFormat.TABLE)
    return target.range()


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")

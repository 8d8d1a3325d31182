"""Asks a running Prometheus for the data of panels, as Grafana would."""

import json
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

from deploy.grafana.panels import Kind, Panel, Query, filled

_EVERYWHERE: Final = 'dc=~".*"'
_SECONDS: Final = 30


class Series(NamedTuple):
    """One series of an answer: the times are Unix seconds, and a table's series has one value."""

    legend: str
    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Window(NamedTuple):
    """What part of the past to look at, in Unix seconds, in what steps, and the window of a rate, such as "15s"."""

    begin: float
    end: float
    step: float
    rate: str


def answer(url: str, what: str, **parameters: str | float) -> dict[str, Any]:
    """The data of an answer of the HTTP API (/api/v1): `what` is "query", "alerts" and so on.

    Raises:
        OSError: Prometheus does not answer, or not to this question.
    """
    with urlopen(f"{url}/api/v1/{what}?{urlencode(parameters)}", timeout=_SECONDS) as found:  # noqa: S310 - the user names it
        data: dict[str, Any] = json.load(found)["data"]
        return data


def ask(url: str, panel: Panel, window: Window) -> list[Series]:
    """Every series of a panel.

    Raises:
        OSError: Prometheus does not answer, or not to this query.
    """
    return [found for query in panel.queries for found in _ask(url, panel.kind, query, window)]


def _ask(url: str, kind: Kind, query: Query, window: Window) -> list[Series]:
    expression = filled(query, _EVERYWHERE, window.rate)
    if kind is Kind.TABLE:
        data = answer(url, "query", query=expression, time=window.end)
    else:
        data = answer(url, "query_range", query=expression, start=window.begin, end=window.end, step=window.step)
    return [_series(query, one) for one in data["result"]]


def _series(query: Query, one: dict[str, object]) -> Series:
    labels = one["metric"]
    assert isinstance(labels, dict)  # noqa: S101 - Prometheus' format
    pairs = one.get("values") or [one["value"]]
    assert isinstance(pairs, list)  # noqa: S101 - as above
    legend = query.legend
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    return Series(legend, labels, [float(time) for time, _ in pairs], [float(value) for _, value in pairs])

"""The dashboard is what its code makes, and a real Prometheus that scrapes real processes has data for every panel."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from deploy.grafana import dashboard
from deploy.grafana.panels import ROWS, Panel
from deploy.grafana.pictures import draw
from deploy.grafana.prometheus_api import Window, ask
from integration_tests import ops_tools
from integration_tests.monitoring import Prometheus, prometheus, scrape
from integration_tests.serving import ServeProcess
from integration_tests.system import CLOCK, System, free_port, numbered, wait_until
from schemas.document import Document
from worker.client import ClassifierClient

PANELS = [panel for row in ROWS for panel in row.panels]
NOBODY = "127.0.0.1:9"


def test_the_file_is_what_the_code_makes() -> None:
    """Whoever changes the panels makes the file again: `python -m deploy.grafana.dashboard`."""
    assert dashboard.FILE.read_text("utf-8") == dashboard.text()


def test_every_query_asks_for_the_data_centre() -> None:
    """Each metric in each query, or one panel would show another part of the world than its neighbours."""
    for panel in json.loads(dashboard.text())["panels"]:
        for target in panel.get("targets", []):
            metrics = re.findall(r"\b(?:clf|grpc_server|process)_\w+", target["expr"])
            assert metrics, panel["title"]
            assert target["expr"].count('{dc=~"$dc"}') == len(metrics), target["expr"]


def test_panels_do_not_share_an_id() -> None:
    """Links to a panel name its id."""
    ids = [panel["id"] for panel in json.loads(dashboard.text())["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.broker
def test_every_panel_has_data(
    system: System, model_store: Path, sample: list[Document], tmp_path: Path, supply: Iterator[Document]
) -> None:
    """Under some load on a worker and a server, and a client that tells of its attempts."""
    if reason := ops_tools.why_unavailable("prometheus"):
        pytest.skip(reason)
    models = ["--models", str(model_store)]
    with ExitStack() as stack:
        worker = stack.enter_context(system.worker(*models))
        server = stack.enter_context(ServeProcess(tmp_path / "serve", models))
        worker.await_ready()
        registry = CollectorRegistry()
        client = stack.enter_context(ClassifierClient([server.grpc], timeout=5.0, registry=registry))
        port = free_port()
        exposed, thread = start_http_server(port, "127.0.0.1", registry)
        stack.callback(thread.join)
        stack.callback(exposed.server_close)
        stack.callback(exposed.shutdown)
        scrape(tmp_path, {"clf-worker": [worker.health], "clf-serve": [server.health, f"127.0.0.1:{port}"]})
        found = stack.enter_context(prometheus(tmp_path, NOBODY))
        began = CLOCK.time()
        missing = list(PANELS)

        def all_have_data() -> bool:
            system.send([*islice(supply, 20), Document("https://a.example/none", "", "", "xx")])
            client.classify(sample[0])
            missing[:] = [panel for panel in missing if not has_data(found, panel, began)]
            return not missing

        wait_until(all_have_data, "every panel has data", 60)
        picture = tmp_path / "all.png"
        draw(f"http://{found.address}", window(began), picture)
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def supply(sample: list[Document]) -> Iterator[Document]:
    """Documents without end."""
    return numbered(sample, 1_000_000)


def window(began: float) -> Window:
    """From then on."""
    return Window(began, CLOCK.time(), 1.0, "5s")


def has_data(found: Prometheus, panel: Panel, began: float) -> bool:
    """Whether there is a number in each of its queries' answers."""
    each = [panel._replace(queries=(query,)) for query in panel.queries]
    series = [ask(f"http://{found.address}", one, window(began)) for one in each]
    return all(any(not math.isnan(value) for one in answer for value in one.values) for answer in series)

"""`python -m integration_tests.watched_fleet`: a small fleet at work, some accidents, and what the dashboard shows.

Two workers and two servers on a broker of their own, watched by a real Prometheus: this made the picture in the README.
"""

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple

import click
from prometheus_client import CollectorRegistry, start_http_server

from deploy.grafana.pictures import draw
from deploy.grafana.prometheus_api import Window
from integration_tests.faults.stage import Setting, Stage, staged
from integration_tests.faults.suite import surroundings, trained
from integration_tests.monitoring import prometheus, scrape
from integration_tests.serving import ServeProcess
from integration_tests.system import CLOCK, free_port, numbered
from models.store import Store
from worker.client import ClassifierClient, ClassifierError

_BACKLOG = 60_000
_CALL_SECONDS = 0.05  # from one call to the next
_LOOK_SECONDS = 1.0
_POINTS = 180
_NOBODY = "127.0.0.1:9"


class Accident(NamedTuple):
    """What happens when that share of the time is over."""

    share: float
    what: str
    happens: Callable[[], object]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=12.0, show_default=True, type=click.FloatRange(1), help="How long it works.")
@click.option("--rate", default=300.0, show_default=True, type=click.FloatRange(1), help="Documents a second.")
@click.option(
    "--out",
    default="deploy/grafana/clf.png",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The picture.",
)
def watched_fleet(minutes: float, rate: float, out: Path) -> None:
    """Let a small fleet work, with a few accidents, and draw the dashboard's panels from its metrics."""
    setting = Setting(workers=2, rate=rate, odd=0.003, max_record_bytes=16 * 2**20)
    seconds = round(minutes * 60)
    with tempfile.TemporaryDirectory(prefix="clf-fleet-") as folder, ExitStack() as stack:
        directory = Path(folder)
        around = stack.enter_context(surroundings(trained(directory / "models"), directory, CLOCK))
        stage = stack.enter_context(staged(replace(around, models=directory / "models"), setting, "watched", 1))
        stage.warm_up()
        others = stack.enter_context(_servers(directory, stage))
        found = stack.enter_context(prometheus(directory, _NOBODY))
        ahead = _accidents(stage)
        began = CLOCK.monotonic()
        with click.progressbar(length=seconds, label="watching", file=sys.stderr) as progress:
            while (passed := CLOCK.monotonic() - began) < seconds:
                if ahead and ahead[0].share * seconds <= passed:
                    click.echo(f"\n{ahead[0].what}", err=True)
                    ahead.pop(0).happens()
                scrape(directory, {"clf-worker": _health(stage), "clf-serve": others})
                CLOCK.sleep(_LOOK_SECONDS)
                progress.update(round(CLOCK.monotonic() - began) - progress.pos)
        end = CLOCK.time()
        draw(f"http://{found.address}", Window(end - seconds, end, seconds / _POINTS, "15s"), out)
    click.echo(f"Drawn: {out}")


def _accidents(stage: Stage) -> list[Accident]:
    store = Store(stage.models)

    def activate_others() -> None:
        for lang in store.languages():
            active = store.active(lang)
            store.activate(lang, next(version for version in store.versions(lang) if version != active))

    def restart() -> None:
        stage.fleet.terminate(1)
        stage.fleet.start(1)

    return [
        Accident(0.2, "a worker is killed, and started again", lambda: stage.fleet.signal(0, SIGKILL)),
        Accident(0.4, "other models become active", activate_others),
        Accident(
            0.55,
            f"a backlog of {_BACKLOG:,} documents",
            lambda: stage.system.send(numbered(stage.around.documents, _BACKLOG)),
        ),
        Accident(0.8, "a worker is restarted", restart),
    ]


@contextmanager
def _servers(directory: Path, stage: Stage) -> Iterator[list[str]]:
    """Two of them and a client that calls; where all three are scraped."""
    stopping = threading.Event()

    def call(client: ClassifierClient) -> None:
        count = 0
        while not stopping.wait(_CALL_SECONDS):
            with suppress(ClassifierError):
                client.classify(stage.around.documents[count % len(stage.around.documents)])
            count += 1

    with ExitStack() as stack:
        options = ["--models", str(stage.models)]
        servers = [stack.enter_context(ServeProcess(directory / f"serve-{n}", options)) for n in range(2)]
        registry, port = CollectorRegistry(), free_port()
        client = stack.enter_context(ClassifierClient([server.grpc for server in servers], registry=registry))
        exposed, thread = start_http_server(port, "127.0.0.1", registry)
        caller = threading.Thread(target=call, args=(client,))
        for undo in (thread.join, exposed.server_close, exposed.shutdown, caller.join, stopping.set):
            stack.callback(undo)  # the last one is the first to happen
        caller.start()
        yield [*(server.health for server in servers), f"127.0.0.1:{port}"]


def _health(stage: Stage) -> list[str]:
    found = []
    for worker in stage.fleet.workers.values():
        with suppress(OSError, ValueError):  # it is just starting
            found.append(worker.health)
    return found


if __name__ == "__main__":
    watched_fleet()

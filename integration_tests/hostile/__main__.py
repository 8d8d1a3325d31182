"""`python -m integration_tests.hostile`: attack the ports, one after the other, and say what came of it."""

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from integration_tests.broker import Kafka
from integration_tests.hostile.siege import Target, besiege
from integration_tests.hostile.targets import server_grpc, server_http, small_server, worker_http
from integration_tests.system import System
from worker.kafka.local_broker import LocalBroker, delete_data
from worker.tests.tools import small_store

PORTS = ("http", "grpc", "worker")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", default=300.0, show_default=True, help="For each port.")
@click.option("--seed", type=click.IntRange(0), help="To repeat a run; without it a random one, which is printed.")
@click.option("--port", "ports", multiple=True, type=click.Choice(PORTS), help="Only these. [all]")
def hostile(seconds: float, seed: int | None, ports: tuple[str, ...]) -> None:
    """Attack the open ports of a real `clf serve` and a real `clf worker`.

    \b
    Exit codes: 0 all holds   1 something does not
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    outcomes = []
    for port in ports or PORTS:
        with tempfile.TemporaryDirectory(prefix="clf-hostile-") as folder, _target(port, Path(folder)) as target:
            outcomes.append(besiege(target, seconds, seed))
        click.echo(str(outcomes[-1]))
    sys.exit(any(outcome.problems for outcome in outcomes))


@contextmanager
def _target(port: str, directory: Path) -> Iterator[Target]:
    with ExitStack() as stack:
        if port == "worker":
            kafka = stack.enter_context(_broker(directory / "kafka"))
            system = System(kafka, directory, "documents", "classifications", "dead-letters", "clf")
            stack.enter_context(system.with_topics())
            yield stack.enter_context(worker_http(system))
        else:
            server = stack.enter_context(small_server(directory / "serve", small_store(directory / "models")))
            yield stack.enter_context(server_http(server) if port == "http" else server_grpc(server))


@contextmanager
def _broker(directory: Path) -> Iterator[Kafka]:
    broker = LocalBroker(say=print)
    try:
        yield Kafka(broker.start(directory, follow_parent=True).bootstrap_servers)
    finally:
        broker.kill()
        delete_data(directory)


hostile()

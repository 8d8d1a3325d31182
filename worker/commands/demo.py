"""`clf demo`."""

import signal
import sys
import threading
from pathlib import Path

import click
from rich.console import Console

from worker.clock import SystemClock
from worker.commands.cluster import clear_errors
from worker.config import COUNT, Cluster
from worker.demo.run import Addresses, Demo, DemoError
from worker.demo.screen import LiveScreen, PlainScreen
from worker.options import options

_DIRECTORY = Path(".clf/demo")


@click.command()
@options(Cluster)
@click.option("--documents", type=COUNT, default=10_000, show_default=True, help="How many documents are streamed.")
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C, to play with it.")
def demo(cluster: Cluster, documents: int, *, keep: bool) -> None:
    """See the whole system work, on documents that come with it.

    Starts a local Kafka broker (unless --bootstrap-servers names a cluster), trains models for three languages,
    creates the topics, starts a worker, streams documents that the models have not seen, and shows the results as
    they arrive. Then it stops everything it started.
    """
    console = Console(highlight=False)
    with clear_errors(DemoError):
        try:
            with Demo(_DIRECTORY, cluster.bootstrap_servers, SystemClock(), console.print) as running:
                addresses = running.start()
                with LiveScreen(console) if console.is_terminal else PlainScreen(console) as screen:
                    summary = running.stream(screen, documents)
                console.print(summary)
                _show(console, addresses, keep=keep)
                if keep:
                    _until_interrupted()
        except KeyboardInterrupt:
            console.print("Interrupted; everything that was started is stopped.")
            sys.exit(130)
    console.print("Done; nothing is left running.")


def _show(console: Console, addresses: Addresses, *, keep: bool) -> None:
    console.print(
        f"status   {addresses.http}/status\nready    {addresses.http}/ready\nmetrics  {addresses.http}/metrics"
    )
    if not keep:
        console.print("`make demo KEEP=1` leaves it up to play with.")
        return
    console.print(
        "In another terminal, in this folder:\n"
        f"  export CLF_BOOTSTRAP_SERVERS={addresses.bootstrap_servers} CLF_MODELS={addresses.models}\n"
        "  .venv/bin/clf tail\n"
        "  .venv/bin/clf send training/sample/eng.jsonl\n"
        f"  curl {addresses.http}/metrics\n"
        "Ctrl-C here stops everything."
    )


def _until_interrupted() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    asked = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: asked.set())
    asked.wait()

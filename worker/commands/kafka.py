"""`clf kafka`: a small local Apache Kafka broker, started, stopped and looked at."""

import json
import shlex
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from worker.clock import SystemClock
from worker.kafka.local_broker import BrokerError, LocalBroker, RunningBroker, answers, delete_data, find_running
from worker.kafka.local_jars import JarCache

CANNOT_START = 3
DEFAULT_DIRECTORY = Path(".clf/kafka")
LIVENESS_POLL_S = 0.5

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="Where the broker keeps its data, its log and broker.json.",
)


@click.group()
def kafka() -> None:
    """Run a small local Apache Kafka broker (a real one, single node, on 127.0.0.1 only).

    It needs Java 17, and Maven once to fetch its jars. To use a cluster of your own instead, set
    CLF_BOOTSTRAP_SERVERS for the other commands; this one is not needed then.
    """


@kafka.command()
@_directory
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port of 127.0.0.1; 0 takes a free one."
)
@click.option(
    "--heap", type=click.IntRange(96, 65536), default=256, show_default=True, help="Java heap at most, in MiB."
)
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C and stop the broker then.")
def start(directory: Path, port: int, heap: int, *, foreground: bool) -> None:
    """Start the broker; when it already runs, say where.

    Data of an earlier broker in the same directory is used again.
    """
    if (running := find_running(directory.absolute())) is not None and port in (0, running.port):
        _report("is already running", running)
        return
    broker = LocalBroker(heap_mib=heap, say=_progress)
    begun = SystemClock().monotonic()
    try:
        running = broker.start(directory, port=port, follow_parent=foreground)
    except BrokerError as error:
        _fail(error)
    _report(f"is ready after {SystemClock().monotonic() - begun:.1f} s", running)
    if foreground:
        _stay(broker, running)


@kafka.command()
def fetch() -> None:
    """Fetch the broker's jars now, so that a later start needs neither Maven nor a network."""
    try:
        click.echo(JarCache.default().ensure(_progress))
    except BrokerError as error:
        _fail(error)


@kafka.command()
@_directory
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(directory: Path, *, as_json: bool) -> None:
    """Say whether the broker runs: exit code 0 when it does, 1 when it does not."""
    running = find_running(directory.absolute())
    if as_json:
        click.echo(json.dumps(_facts(directory, running)))
    elif running is None:
        click.echo(f"No broker runs in {directory}. Start one with `clf kafka start{_where(directory.absolute())}`.")
    else:
        _report("runs" if answers(running.port) else "runs but does not answer", running)
    sys.exit(0 if running is not None else 1)


@kafka.command()
@_directory
@click.option("--delete-data", is_flag=True, help="Also remove all topics and records.")
def stop(directory: Path, *, delete_data: bool) -> None:
    """Stop the broker; what it holds stays unless --delete-data is given."""
    directory = directory.absolute()
    broker = LocalBroker()
    try:
        running = broker.attach(directory)
        broker.stop()
        click.echo(f"Stopped the broker (pid {running.pid})." if running else f"No broker runs in {directory}.")
        if delete_data:
            _delete(directory)
    except BrokerError as error:
        _fail(error)


def _delete(directory: Path) -> None:
    try:
        delete_data(directory)
    except OSError as error:
        raise BrokerError(f"The data in {directory} cannot be removed: {error}. Remove it by hand.") from error
    click.echo(f"Removed its data from {directory}.")


def _stay(broker: LocalBroker, running: RunningBroker) -> None:
    """Wait for a signal or the broker's death, whichever comes first."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    click.echo("Ctrl-C stops it.")
    while not asked.wait(LIVENESS_POLL_S):
        if running.process() is None:
            _fail(BrokerError(f"The broker has ended by itself. Its log, {running.log_file}, may tell why."))
    broker.stop()
    click.echo("Stopped.")


def _report(state: str, running: RunningBroker) -> None:
    address = running.bootstrap_servers
    click.echo(f"Apache Kafka {running.kafka_version} {state}.")
    click.echo(f"  bootstrap servers  {address}")
    click.echo(f"  process            {running.pid} ({running.memory_bytes() / 2**20:.0f} MB)")
    click.echo(f"  log                {running.log_file}")
    click.echo("Next: tell the other commands where it is, and stop it when you are done:")
    click.echo(f"  export CLF_BOOTSTRAP_SERVERS={address}")
    click.echo(f"  clf kafka stop{_where(running.directory)}")


def _where(directory: Path) -> str:
    """The option that names a directory other than the default one."""
    return "" if directory == DEFAULT_DIRECTORY.absolute() else f" --directory {shlex.quote(str(directory))}"


def _facts(directory: Path, running: RunningBroker | None) -> dict[str, object]:
    if running is None:
        return {"running": False, "directory": str(directory.absolute())}
    return {
        "running": True,
        "answers": answers(running.port),
        "bootstrap_servers": running.bootstrap_servers,
        "pid": running.pid,
        "started": datetime.fromtimestamp(running.started, UTC).isoformat(timespec="seconds"),
        "memory_bytes": running.memory_bytes(),
        "kafka_version": running.kafka_version,
        "directory": str(running.directory),
        "log_file": str(running.log_file),
    }


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _fail(error: BrokerError) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    sys.exit(CANNOT_START)

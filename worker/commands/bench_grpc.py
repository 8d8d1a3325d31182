"""`clf bench grpc`: what callers that cannot wait get, in good times and bad."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

import click
import orjson
from rich.table import Table

from models.store import Store
from schemas.document import DEFAULT_MAX_BYTES, Document
from worker.bench.backlog import Backlog
from worker.bench.busy_worker import BusyWorker
from worker.bench.contender import ContenderError
from worker.bench.grpc_scenarios import GrpcBench, Outcome, Plan
from worker.bench.latency import histogram
from worker.bench.load import Load
from worker.bench.machine import machine
from worker.bench.trained import BenchError, train
from worker.classify import Classifier
from worker.clock import SystemClock
from worker.commands.cluster import clear_errors, client_settings
from worker.commands.documents import Line, read_lines
from worker.commands.output import console
from worker.config import SECONDS, Cluster
from worker.kafka.admin import Cluster as Admin
from worker.kafka.local_broker import LocalBroker
from worker.options import EnumChoice
from worker.serving_models import load_models

_MISSED = 1
_COUNT = click.IntRange(1)
_PARTITIONS = 4


class Scenario(StrEnum):
    """What is measured."""

    WARM = "warm"
    """Latency at a steady rate."""
    CAPACITY = "capacity"
    """Calls a second of one process, beside a bare servicer."""
    WORKER = "worker"
    """Latency beside a `clf worker` at full load."""
    IDLE = "idle"
    """The first call after a pause."""
    FROZEN = "frozen"
    """Two servers, one of them stopped by SIGSTOP, and the hedging client."""
    OVERLOAD = "overload"
    """Three times the calls that can be answered."""
    RESTART = "restart"
    """Two servers restarted in turn under load."""


@click.command("grpc")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Labelled JSON lines of one language, plain or gzip; the model is trained on them too. May be repeated. "
    "[default: the English sample corpus, whose documents are shorter than real articles]",
)
@click.option("--lang", default="en", show_default=True, help="Their language.")
@click.option(
    "--scenario",
    "scenarios",
    type=EnumChoice(Scenario),
    multiple=True,
    default=[str(scenario) for scenario in Scenario],
    show_default=True,
    help="What to measure. May be repeated.",
)
@click.option("--rate", default=500.0, show_default=True, type=SECONDS, help="Calls a second of the open loops.")
@click.option(
    "--hedged-rate", default=200.0, show_default=True, type=SECONDS, help="Calls a second of the hedging client."
)
@click.option("--seconds", default=20.0, show_default=True, type=SECONDS, help="Length of each run.")
@click.option("--repeat", default=3, show_default=True, type=_COUNT, help="Runs of each scenario.")
@click.option("--idle-seconds", default=300.0, show_default=True, type=SECONDS, help="The pause before a first call.")
@click.option(
    "--backlog",
    default=1_000_000,
    show_default=True,
    type=_COUNT,
    help="Documents for the worker, which must last a run.",
)
@click.option(
    "--json", "json_file", type=click.File("wb"), help="Write all figures as JSON to this file, - for stdout."
)
def grpc_bench(  # noqa: PLR0913 - one per option
    *,
    data: tuple[Path, ...],
    lang: str,
    scenarios: tuple[Scenario, ...],
    rate: float,
    hedged_rate: float,
    seconds: float,
    repeat: int,
    idle_seconds: float,
    backlog: int,
    json_file: BinaryIO | None,
) -> None:
    """Measure what callers that cannot wait get, in good times and bad.

    Calls come at times fixed beforehand (a Poisson process, which does not wait for answers), each with 100 ms to live;
    latency counts from that time. Servers, load generator and hedging client are processes of their own, all on this
    machine. Every measure is shown beside its target.

    \b
    warm       latency at a steady rate
    capacity   calls a second of one process, beside a bare grpcio servicer that returns a constant
    worker     latency beside a clf worker at full load and its broker
    idle       the first call after a pause
    frozen     two servers, one of them stopped by SIGSTOP, and the hedging client
    overload   three times the calls that one process can answer
    restart    two servers restarted in turn under load, and the hedging client

    \b
    Exit codes: 0 all targets met   1 some missed   2 wrong usage   3 cannot measure, see the message
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    if not data:
        say("No --data: taking the English sample corpus, whose documents are shorter than real articles.")
    sources = data or (Path(str(files("training") / "sample" / "eng.jsonl")),)
    plan = Plan(rate, hedged_rate, seconds, repeat, idle_seconds)
    clock = SystemClock()
    outcomes = []
    with clear_errors(ContenderError, BenchError), tempfile.TemporaryDirectory(prefix="clf-bench-") as work:
        models = Path(work) / "models"
        train(sources, lang, models)
        documents = list(_documents(sources, lang))
        reply = Classifier(load_models(Store(models))).classify(documents[:1], [None])[0]
        load = Load(Path(work), [document.to_protobuf() for document in documents])
        bench = GrpcBench(models, load, reply, plan, clock, say)
        runs: dict[Scenario, Callable[[], Outcome]] = {
            Scenario.WARM: bench.warm,
            Scenario.CAPACITY: bench.capacity,
            Scenario.WORKER: lambda: _beside_worker(bench, documents, backlog, models, Path(work)),
            Scenario.IDLE: bench.idle,
            Scenario.FROZEN: bench.frozen,
            Scenario.OVERLOAD: bench.overload,
            Scenario.RESTART: bench.restart,
        }
        for scenario in Scenario:
            if scenario in scenarios:
                say(f"--- {scenario}")
                outcomes.append(runs[scenario]())
    _show(outcomes)
    if json_file is not None:
        facts = {"machine": machine(clock), "outcomes": [outcome.as_json() for outcome in outcomes]}
        json_file.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    if any(line.met is False for outcome in outcomes for line in outcome.lines):
        raise SystemExit(_MISSED)


def say(line: str) -> None:
    """Tell how far it is."""
    click.echo(line, err=True)


def _documents(sources: Sequence[Path], lang: str) -> Iterator[Document]:
    for path in sources:
        for line in read_lines(path, DEFAULT_MAX_BYTES, lambda _: None):
            if isinstance(line, Line):
                fields = orjson.loads(line.data)
                url = fields.get("url") or f"{path.name}:{line.number}"
                yield Document(url, fields.get("title") or "", fields.get("text") or "", lang)


def _beside_worker(bench: GrpcBench, documents: list[Document], count: int, models: Path, directory: Path) -> Outcome:
    clock = SystemClock()
    with _broker(directory) as servers:
        settings = client_settings(Cluster(bootstrap_servers=servers), "producer")
        cluster = Admin(settings, timeout_seconds=30)
        with Backlog("bench-input", _PARTITIONS, count).sent(documents, settings, cluster, clock, say) as topic:
            return bench.beside_worker(
                BusyWorker(servers, topic, _PARTITIONS, count, models, directory, cluster, clock)
            )


@contextmanager
def _broker(directory: Path) -> Iterator[str]:
    broker = LocalBroker()
    try:
        yield broker.start(directory / "kafka", follow_parent=True).bootstrap_servers
    finally:
        broker.stop()


def _show(outcomes: Sequence[Outcome]) -> None:
    out = console()
    for outcome in outcomes:
        for name, latencies in outcome.latencies.items():
            out.print("\n".join(histogram(latencies, name)), "", sep="\n", markup=False)
    table = Table("measure", "target", "measured", "", title=machine(SystemClock()), title_justify="left")
    for outcome in outcomes:
        for line in outcome.lines:
            mark = "" if line.met is None else "met" if line.met else "missed"
            table.add_row(line.measure, line.target, line.measured, mark)
        table.add_section()
    out.print(table)

"""`clf bench`: measurements, always as ratios against references in the same run."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

import click
import orjson
from rich.console import Console
from rich.table import Table

from schemas.document import DEFAULT_MAX_BYTES, Document
from worker.bench.contender import ContenderError
from worker.bench.machine import machine
from worker.bench.stream import Plan, Row, StreamBench
from worker.bench.trained import BenchError, train
from worker.clock import SystemClock
from worker.commands.bench_grpc import grpc_bench
from worker.commands.bench_score import score
from worker.commands.cluster import clear_errors, client_settings
from worker.commands.documents import Line, read_lines
from worker.config import Cluster
from worker.kafka.local_broker import LocalBroker
from worker.options import options

PLAIN, BATCHED, WORKER, BARE, NO_SCORING = range(5)


@click.group()
def bench() -> None:
    """Measure clf beside references, in one run on this machine.

    The machine's speed drifts, so compare ratios within one run, and medians over several rounds.
    """


bench.add_command(score)
bench.add_command(grpc_bench)


@bench.command()
@options(Cluster)
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Labelled JSON lines of one language, plain or gzip; the model is trained on them too. May be repeated. "
    "[default: the English sample corpus, whose documents are shorter than real articles]",
)
@click.option("--lang", default="en", show_default=True, help="Their language.")
@click.option(
    "--documents", default=20_000, show_default=True, type=click.IntRange(1), help="Documents for the plain loops."
)
@click.option(
    "--quick-documents",
    default=200_000,
    show_default=True,
    type=click.IntRange(1),
    help="Documents for the worker and the bare loop.",
)
@click.option("--partitions", default=4, show_default=True, type=click.IntRange(1), help="Partitions of each topic.")
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown.")
@click.option(
    "--json", "json_file", type=click.File("wb"), help="Write all figures as JSON to this file, - for stdout."
)
def stream(  # noqa: PLR0913 - one per option
    *,
    cluster: Cluster,
    data: tuple[Path, ...],
    lang: str,
    documents: int,
    quick_documents: int,
    partitions: int,
    repeat: int,
    json_file: BinaryIO | None,
) -> None:
    """Measure documents per second, end to end.

    \b
    Five contenders read the same documents from one broker:
      a plain loop that scores one document per message with scikit-learn's own pipeline
      the same loop in batches of 500
      clf worker, exactly once, with the models of `clf train`
      a bare loop: consume, parse, produce a constant, transactions of 2,000
      clf worker --no-scoring: every document gets a constant result
    Time runs from the assignment of the partitions until the group has committed every document.
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    if not data:
        click.echo(
            "No --data: taking the English sample corpus, whose documents are short. Ratios hold, rates do not.",
            err=True,
        )
    sources = data or (Path(str(files("training") / "sample" / "eng.jsonl")),)
    plan = Plan(documents, quick_documents, partitions, repeat)
    with (
        clear_errors(ContenderError, BenchError),
        tempfile.TemporaryDirectory(prefix="clf-bench-") as work,
        _broker(cluster, Path(work)) as servers,
    ):
        settings = client_settings(replace(cluster, bootstrap_servers=servers), "producer")
        models = Path(work) / "models"
        pipeline = train(sources, lang, models)
        bench = StreamBench(settings, plan, Path(work), SystemClock(), lambda line: click.echo(line, err=True))
        rows = bench.run(_documents(sources), models, pipeline)
    _show(rows)
    if json_file is not None:
        facts = {
            "machine": machine(SystemClock()),
            "data": [path.name for path in sources],
            "rows": [row.as_json() for row in rows],
        }
        json_file.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2))


@contextmanager
def _broker(cluster: Cluster, directory: Path) -> Iterator[str]:
    """The cluster that was named, else a broker for this run alone."""
    if cluster.bootstrap_servers:
        yield cluster.bootstrap_servers
        return
    broker = LocalBroker()
    try:
        yield broker.start(directory / "kafka", follow_parent=True).bootstrap_servers
    finally:
        broker.stop()


def _documents(sources: Sequence[Path]) -> list[Document]:
    """The texts of all lines; their urls, which some corpora lack, are made anew when they are sent."""
    lines = (line for path in sources for line in read_lines(path, DEFAULT_MAX_BYTES, lambda _: None))
    fields = [orjson.loads(line.data) for line in lines if isinstance(line, Line) and line.data]
    return [Document("", item.get("title") or "", item.get("text") or "", item.get("lang") or "") for item in fields]


def _show(rows: Sequence[Row]) -> None:
    table = Table("contender", "documents/s", "ratio", "CPU us/document", "peak memory", title=machine(SystemClock()))
    for column in table.columns[1:]:
        column.justify = "right"
    for index, row in enumerate(rows):
        reference = rows[PLAIN if index <= WORKER else BARE]
        table.add_row(
            row.name,
            f"{row.rate:,.0f}",
            f"{row.rate / reference.rate:.2f}",
            f"{row.cpu_microseconds:,.1f}",
            f"{row.peak_bytes / 2**20:,.0f} MiB",
        )
    console = Console()
    console.print(table)
    for index in (WORKER, NO_SCORING):
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in rows[index].stage_shares.items())
        console.print(f"{rows[index].name}: share of the time in each stage (they overlap): {shares}", highlight=False)
    resident = rows[NO_SCORING].runs[-1].resident_bytes
    memory = ", ".join(f"{size / 2**20:,.0f} MiB after {mark:,}" for mark, size in sorted(resident.items()))
    console.print(f"{rows[NO_SCORING].name}: resident memory {memory} documents", highlight=False)

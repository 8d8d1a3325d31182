"""`python -m integration_tests.compare`: run every system under the same schedule, and print the table."""

import hashlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from integration_tests.broker import Kafka
from integration_tests.compare.systems import CONTENDERS, LANG, Contender, Place
from integration_tests.compare.trial import Outcome, Plan, Trial, plan
from integration_tests.system import SAMPLE, System, sample_documents, train
from models.store import Store
from worker.audit.findings import Finding
from worker.clock import SystemClock
from worker.kafka.local_broker import LocalBroker, delete_data

_PARTITIONS = 4
_ENVIRONMENTS = Path(__file__).parent.parent.parent / ".clf" / "compare"
_HEADER = (
    "| system | documents | kills | ended by itself | lost | doubled | reordered | other | longest gap, s |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--system", "names", multiple=True, type=click.Choice([c.name for c in CONTENDERS]), help="Only these. [all]"
)
@click.option("--documents", default=20_000, show_default=True, type=click.IntRange(100), help="For each system.")
@click.option("--rate", default=200.0, show_default=True, type=click.FloatRange(1), help="Documents a second.")
@click.option("--kills", default=5, show_default=True, type=click.IntRange(0), help="With SIGKILL, for each system.")
@click.option("--seed", type=click.IntRange(0), help="To repeat a schedule; without it a random one, which is printed.")
def compare(names: tuple[str, ...], documents: int, rate: float, kills: int, seed: int | None) -> None:
    """Clf beside MLServer and Quix Streams: the same documents, the same kills, the rules of `clf verify`.

    The others are installed into environments of their own below .clf/compare, the first time.
    """
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    schedule = plan(documents, rate, _PARTITIONS, kills, seed)
    click.echo(f"seed {seed}: killed at documents {', '.join(f'{number:,}' for number in schedule.kills)}", err=True)
    chosen = [contender for contender in CONTENDERS if not names or contender.name in names]
    pythons = {contender.name: _python_of(contender) for contender in chosen}

    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="clf-compare-") as folder:
        directory, broker = Path(folder), LocalBroker(say=print)
        try:
            kafka = Kafka(broker.start(directory / "kafka", follow_parent=True).bootstrap_servers)
            [corpus] = [path for path in SAMPLE if path.stem == "eng"]
            train(corpus, directory / "models")
            for contender in chosen:
                outcomes.append(_run(contender, pythons[contender.name], kafka, directory, schedule))
                click.echo(_row(outcomes[-1]), err=True)
        finally:
            broker.kill()
            delete_data(directory / "kafka")
    click.echo("\n".join([_HEADER, *map(_row, outcomes)]))


def _run(contender: Contender, python: Path, kafka: Kafka, directory: Path, schedule: Plan) -> Outcome:
    own, models, name = directory / contender.name, directory / "models", contender.name
    own.mkdir()
    [version] = Store(models).versions(LANG)
    system = System(kafka, own, f"documents.{name}", f"results.{name}", f"dead.{name}", f"group.{name}")
    pipeline = models / LANG / version / "pipeline.joblib"
    place = Place(kafka.bootstrap_servers, *system.topics, system.group, own, models, pipeline)
    english = [document for document in sample_documents() if document.language == LANG]
    with system.with_topics(_PARTITIONS):
        command = contender.command(python, place)
        return Trial(contender, command, place, kafka, english, SystemClock()).run(schedule)


def _python_of(contender: Contender) -> Path:
    """Of its environment, which is made when there is none with these requirements."""
    if contender.requirements is None:
        return Path(sys.executable)
    wanted = contender.requirements.read_bytes()
    environment = _ENVIRONMENTS / f"{contender.requirements.stem}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    python, done = environment / "bin" / "python", environment / ".installed"
    if not done.exists():
        click.echo(f"Installing {contender.requirements.name} into {environment} (a minute or two) ...", err=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip = [f"{python}", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", f"{contender.requirements}"], check=True)
        done.touch()
    return python


def _row(outcome: Outcome) -> str:
    kinds = (Finding.MISSING, Finding.DOUBLED, Finding.REORDERED)
    other = sum(count for kind, count in outcome.findings.items() if kind not in kinds)
    counts = [outcome.kills, outcome.ended, *(outcome.findings[kind] for kind in kinds), other]
    cells = [outcome.title, f"{outcome.documents:,}", *(f"{count:,}" for count in counts), f"{outcome.gap:.1f}"]
    return f"| {' | '.join(cells)} |"


compare()

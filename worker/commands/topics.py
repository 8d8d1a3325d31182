"""`clf topics`: the three topics a worker needs."""

import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.commands.cluster import clear_errors, client_settings, existing_topics
from worker.config import Cluster, Topics
from worker.kafka.admin import CLEANUP, HEADROOM_BYTES, MAX_BYTES, TopicInfo, problems
from worker.kafka.admin import Cluster as Admin
from worker.lifecycle import ExitCode
from worker.options import options


@click.group()
def topics() -> None:
    """Create and check the topics: documents, classifications, dead letters."""


@topics.command()
@options(Cluster, Topics)
@click.option("--partitions", type=click.IntRange(1), default=4, show_default=True, help="Partitions of new topics.")
@click.option("--replication", type=click.IntRange(1), default=1, show_default=True, help="Replicas of new topics.")
def create(cluster: Cluster, topics: Topics, partitions: int, replication: int) -> None:
    """Create the topics that do not exist, and repair the sizes of those that do.

    The results topic gets as many partitions as the documents topic has, and both it and the dead letters take
    records somewhat larger than a document may be. Partition counts of topics that exist are never changed.
    """
    with clear_errors():
        admin = Admin(client_settings(cluster, "admin"))
        _create_missing(admin, topics, partitions, replication)
        _repair(admin, topics)
        _report(admin, topics)


@topics.command()
@options(Cluster, Topics)
@click.option(
    "--partitions",
    type=click.IntRange(1),
    help="How many each shall have. [default: as many as documents or results have]",
)
def add_partitions(cluster: Cluster, topics: Topics, partitions: int | None) -> None:
    """Give the topics more partitions: the results and the dead letters first, the documents last.

    Workers may run meanwhile; they take the new partitions within a minute, without a restart. Partitions cannot be
    taken away again.

    Documents of one URL are in order within a partition only, and most crawlers choose it by the number of partitions:
    a URL may go to another one from now on. Where the order of its old and new documents matters, let crawlers pause
    until `clf verify` shows lag 0 before the partitions are added.
    """
    with clear_errors():
        admin = Admin(client_settings(cluster, "admin"))
        _grow(admin, topics, partitions)
        _report(admin, topics)


@topics.command()
@options(Cluster, Topics)
def check(cluster: Cluster, topics: Topics) -> None:
    """Say whether a worker could start with the topics as they are: exit code 0 if so, 3 if not."""
    with clear_errors():
        _report(Admin(client_settings(cluster, "admin")), topics)


def _create_missing(admin: Admin, topics: Topics, partitions: int, replication: int) -> None:
    found = admin.topics(topics.names)
    if topics.documents not in found:
        admin.create(topics.documents, partitions, replication, {})
        click.echo(f"Created {topics.documents} with {partitions} partitions.")
        found |= admin.topics([topics.documents])
    source = found[topics.documents]
    for name in (topics.classifications, topics.dead_letters):
        if name not in found:
            admin.create(
                name, source.partitions, replication, {MAX_BYTES: str(_needed_bytes(source)), CLEANUP: "delete"}
            )
            click.echo(f"Created {name} with {source.partitions} partitions.")


def _grow(admin: Admin, topics: Topics, partitions: int | None) -> None:
    found = existing_topics(admin, topics.names)
    counts = {name: info.partitions for name, info in found.items()}
    wanted = max(counts[topics.documents], counts[topics.classifications]) if partitions is None else partitions
    for name in (topics.classifications, topics.dead_letters, topics.documents):
        if counts[name] < wanted:
            admin.add_partitions(name, wanted)
            click.echo(f"Added partitions to {name}: {wanted} instead of {counts[name]}.")
        elif counts[name] > wanted:
            click.echo(f"{name} has {counts[name]} partitions, and they cannot be taken away.", err=True)


def _repair(admin: Admin, topics: Topics) -> None:
    found = admin.topics(topics.names)
    needed = _needed_bytes(found[topics.documents])
    for name in (topics.classifications, topics.dead_letters):
        if found[name].max_message_bytes < needed:
            admin.set_config(name, MAX_BYTES, str(needed))
            click.echo(f"Raised {MAX_BYTES} of {name} to {needed}.")


def _needed_bytes(source: TopicInfo) -> int:
    return source.max_message_bytes + HEADROOM_BYTES


def _report(admin: Admin, topics: Topics) -> None:
    found = admin.topics(topics.names)
    table = Table("topic", "partitions", MAX_BYTES, CLEANUP)
    for name in (name for name in topics.names if name in found):
        info = found[name]
        table.add_row(Text(name), str(info.partitions), f"{info.max_message_bytes:,}", info.cleanup_policy)
    if found:
        Console().print(table)
    wrong = problems(topics, found)
    for sentence in wrong:
        click.secho(sentence, fg="red", err=True)
    if wrong:
        click.echo("`clf topics create` creates what is missing and raises the sizes.", err=True)
        sys.exit(ExitCode.CANNOT_START)
    click.echo("A worker can start with these topics.")

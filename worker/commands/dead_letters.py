"""`clf dead-letters`: what could not be classified, why, and another try."""

import heapq
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import click

from schemas.dead_letter import Reason
from worker.clock import SystemClock
from worker.commands.cluster import clear_errors, client_settings, partitions_of, sender_settings
from worker.commands.dead_letter_replay import Plan, Replay, make_plan
from worker.commands.dead_letter_selection import (
    Entry,
    Range,
    RangeType,
    Selection,
    check_partitions,
    read_batches,
)
from worker.commands.dead_letter_view import FOREIGN, entry_json, entry_text, show_table, summary
from worker.commands.output import counted, printable_bytes, write, write_lines
from worker.config import COUNT, Cluster, Topics
from worker.kafka.consumer import Bounds, TopicReader
from worker.kafka.producer import Sender
from worker.options import options
from worker.stream.records import TopicPartition

NOT_ALL_SENT = 1
INTERRUPTED = 130
_LAST = 20

Rendered = TypeVar("Rendered")

_ranges = click.argument("ranges", nargs=-1, type=RangeType(), metavar="[PARTITION/OFFSET[-OFFSET]]...")
_reason = click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([str(reason) for reason in Reason]),
    help="Only those that failed for this reason; may be given more than once.",
)
_max_attempts = click.option("--max-attempts", type=COUNT, help="Only those that were tried at most this often.")


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show and replay what could not be classified.

    A record that is no document, or that the scorer fails on, leaves the worker as a dead letter: key, value and
    headers as they were, and why, in headers of its own. Nothing here removes one; the topic's retention does.
    """


@dead_letters.command("list")
@_ranges
@options(Cluster, Topics)
@_reason
@_max_attempts
@click.option("--last", type=COUNT, help=f"Show this many, the latest ones.  [default: {_LAST}; with --json all]")
@click.option("--json", "as_json", is_flag=True, help="A JSON object per dead letter, without its headers and value.")
def list_(
    ranges: tuple[Range, ...],
    cluster: Cluster,
    topics: Topics,
    reasons: tuple[str, ...],
    max_attempts: int | None,
    last: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the latest dead letters, and how many there are for each reason.

    The whole topic is read, or the ranges given: 0/17-40 are the offsets 17 to 40 of partition 0, and 0/17- is
    everything from there on. `replay` with the same ranges and options sends just those that are counted here.

    \b
    clf dead-letters list --reason not_json --last 5
    clf dead-letters list --json | jq -r .source.topic | sort | uniq -c
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    selection = Selection(ranges, frozenset(map(Reason, reasons)), max_attempts)
    with clear_errors(), _opened(cluster, topics, selection) as letters:
        if not as_json:
            counts: Counter[str] = Counter()
            rows = _latest(_counted(letters.entries(), counts), last or _LAST, summary)
            show_table(rows, counts)
        elif last is not None:
            write_lines(_latest(letters.entries(), last, _json_without_value))
        else:
            for batch in letters.batches():
                write_lines(_json_without_value(entry) for entry in batch)


@dead_letters.command()
@click.argument("position", type=RangeType(), metavar="PARTITION/OFFSET")
@options(Cluster, Topics)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; bytes that are no UTF-8 in base64.")
@click.option("--value", "only_value", is_flag=True, help="Only the value, byte for byte, for a file or a pipe.")
def show(position: Range, cluster: Cluster, topics: Topics, *, as_json: bool, only_value: bool) -> None:
    """Show one dead letter in full: where and why it failed, its key, headers and value.

    Control characters and whatever is no UTF-8 are shown as escapes. PARTITION/OFFSET are those of the dead-letter
    topic, as `list` shows them.
    """
    if position.first != position.last:
        raise click.UsageError("One dead letter at a time: PARTITION/OFFSET.")
    if only_value and sys.stdout.isatty():
        raise click.UsageError("The value may hold anything, also what a terminal obeys: send it to a file or a pipe.")
    with clear_errors(), _opened(cluster, topics, Selection((position,))) as letters:
        entry = next(letters.entries(), None)
    if entry is None:
        held = letters.held.get(TopicPartition(topics.dead_letters, position.partition))
        raise click.UsageError(f"There is no record at {position}; {_holds(held)}")
    if only_value:
        write(entry.record.value or b"")
    elif as_json:
        write_lines([entry_json(entry, with_value=True)])
    else:
        write(entry_text(entry).encode())


@dead_letters.command()
@_ranges
@options(Cluster, Topics)
@_reason
@_max_attempts
@click.option("--all", "everything", is_flag=True, help="All dead letters of the documents topic.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(  # noqa: PLR0913 - one per option
    ranges: tuple[Range, ...],
    cluster: Cluster,
    topics: Topics,
    reasons: tuple[str, ...],
    max_attempts: int | None,
    *,
    everything: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send dead letters to the documents topic again, as they were.

    Say which: positions or ranges as `list` takes them, --reason, or --all. Key, value and headers are the
    original ones, and go to the partition they came from. The header clf-attempts makes the worker count on: what
    fails again is a new dead letter that was tried once more.

    Replay after the cause is gone: score_failed and killed_worker after a repair of the scorer, too_large after
    raising the worker's --max-document-bytes. What is no JSON today is none tomorrow, and a worker stops when more
    than its --dead-letter-limit of the records fail.

    Dead letters stay where they are, so replaying twice sends twice, and gives two results for the same url. At
    its end the command prints the ranges that begin behind what it has seen: use them the next time. What fails
    again while it runs lies behind its end and is left alone.

    \b
    clf dead-letters replay --reason score_failed --dry-run
    clf dead-letters replay --reason score_failed 0/120- 1/98-

    \b
    Exit codes: 0 all sent, or nothing to send   1 declined, or some were rejected   2 wrong usage
                3 cannot start, see the message   4 the cluster stopped taking records   130 interrupted
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    if not (ranges or reasons or max_attempts or everything):
        raise click.UsageError("Say which: PARTITION/OFFSET or a range, --reason, or --all.")
    selection = Selection(ranges, frozenset(map(Reason, reasons)), max_attempts)
    with clear_errors(), _opened(cluster, topics, selection) as letters:
        partitions = partitions_of(cluster, topics.documents)
        plan = make_plan(topics.documents, letters.batches())
        for sentence in plan.describe():
            click.echo(sentence)
        if dry_run or not plan.total:
            return
        if not _agreed(plan, yes=yes):
            sys.exit(NOT_ALL_SENT)
        sender = Sender(sender_settings(cluster, topics.documents))
        sys.exit(_replay(Replay(sender, partitions, plan, SystemClock()), sender, letters))


def _agreed(plan: Plan, *, yes: bool) -> bool:
    if yes or not _is_dialogue():
        return True
    return click.confirm(f"Send {counted(plan.total, 'dead letter')} to {plan.topic}?", err=True)


def _is_dialogue() -> bool:
    return sys.stdin.isatty()


def _replay(replay: Replay, sender: Sender, letters: "_Letters") -> int:
    done = False
    try:
        replay.run(letters.batches())
        done = True
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        sender.close()
        click.echo(f"Acknowledged: {counted(sender.delivered, 'record')}.")
        for key, reason in sender.rejected:
            click.echo(f"The cluster rejected the record with key {printable_bytes(key, 120)}: {reason}", err=True)
        what = (
            "Not seen yet, for the next time" if done else "Not acknowledged; up to one batch of it may be sent twice"
        )
        left = letters.behind() if done else replay.remaining()
        click.echo(f"{what}: {' '.join(map(str, left))}")
    return NOT_ALL_SENT if sender.rejected else 0


@dataclass(frozen=True, slots=True)
class _Letters:
    """The selected dead letters among what the topic held at the start. They may be read more than once."""

    reader: TopicReader
    selection: Selection
    held: dict[TopicPartition, Bounds]

    def batches(self) -> Iterator[list[Entry]]:
        return read_batches(self.reader, self.selection.bounds(self.held), self.selection)

    def entries(self) -> Iterator[Entry]:
        return chain.from_iterable(self.batches())

    def behind(self) -> list[Range]:
        """What comes after all that the topic held."""
        return [Range(source.partition, found.end, sys.maxsize) for source, found in sorted(self.held.items())]


@contextmanager
def _opened(cluster: Cluster, topics: Topics, selection: Selection) -> Iterator[_Letters]:
    topic = topics.dead_letters
    partitions = partitions_of(cluster, topic)
    check_partitions(selection.ranges, partitions, topic)
    with closing(TopicReader(client_settings(cluster, "consumer"))) as reader:
        yield _Letters(reader, selection, reader.bounds(topic, partitions))


def _latest(entries: Iterable[Entry], last: int, render: Callable[[Entry], Rendered]) -> list[Rendered]:
    """The `last` ones in order of time, rendered at once so that their values need not be kept."""
    rows = (
        (entry.record.timestamp_ms, entry.record.source.partition, entry.record.offset, render(entry))
        for entry in entries
    )
    return [rendered for _, _, _, rendered in reversed(heapq.nlargest(last, rows))]


def _counted(entries: Iterable[Entry], counts: Counter[str]) -> Iterator[Entry]:
    for entry in entries:
        counts[FOREIGN if entry.letter is None else entry.letter.reason] += 1
        yield entry


def _json_without_value(entry: Entry) -> bytes:
    return entry_json(entry, with_value=False)


def _holds(held: Bounds | None) -> str:
    if held is None or held.first == held.end:
        return "that partition is empty."
    return f"that partition holds offsets {held.first} to {held.end - 1}, some of which mark transactions."

"""`clf dead-letters`: which are meant, how they are shown, and what goes back."""

import json
import sys
from collections.abc import Sequence

import pytest

from schemas.classification import Source
from schemas.dead_letter import DeadLetter, Headers, Reason, Stage
from worker.commands.dead_letter_replay import to_record
from worker.commands.dead_letter_selection import Range
from worker.stream.records import Record
from worker.tests.tools import MemorySender, record, with_cluster

TOPIC = "documents.dead-letter"
NOW = 1_700_000_000_000


def letter(
    reason: Reason, value: bytes | None, key: bytes | None = None, headers: Headers = (), attempts: int = 1
) -> DeadLetter:
    """A dead letter that was read from partition 1 of `documents`."""
    source = Source("documents", 1, 7)
    return DeadLetter(key, value, headers, Stage.DECODE, reason, "what was wrong", source, attempts)


def written(item: DeadLetter, partition: int, offset: int, timestamp_ms: int = NOW) -> Record:
    """It, as it stands in the dead-letter topic."""
    return record(TOPIC, partition, offset, item.value, item.key, item.record_headers(), timestamp_ms)


HOSTILE = letter(Reason.NOT_JSON, b"\x1b[31m\xff[red]", b"k\x07", (("trace", b"\x9b1"), ("none", None)))
WRONG = letter(Reason.WRONG_TYPE, b'{"url": "https://a.example/w", "text": 7}', attempts=2)
FAILED = letter(Reason.SCORE_FAILED, b'{"url": "u"}', b"u")
LETTERS = [
    written(HOSTILE, 0, 3, NOW + 2000),
    written(WRONG, 0, 5, NOW + 1000),
    written(FAILED, 1, 0, NOW),
    record(TOPIC, 1, 1, b"foreign", b"f", (), NOW + 3000),
]


def places(output: str) -> Sequence[str]:
    """Partition and offset of JSON lines."""
    return [f"{fields['partition']}/{fields['offset']}" for fields in map(json.loads, output.splitlines())]


def test_list_shows_the_latest_in_order_of_time_and_counts_all() -> None:
    """The table has the last ones, oldest first; the counts are of all."""
    found = with_cluster("dead-letters", "list", "--last", "2", records=LETTERS)
    assert found.exit_code == 0
    rows = found.stdout.splitlines()
    assert [row.split()[0] for row in rows[1:3]] == ["0/3", "1/1"]
    assert rows[1].split()[1:7] == ["2023-11-14", "22:13:22Z", "not_json", "decode", "documents/1/7", "1"]
    assert rows[-1].startswith("4 dead letters: ")
    assert all(f"1 {name}" in rows[-1] for name in ("not_json", "wrong_type", "score_failed", "not a dead letter"))


def test_list_never_obeys_a_dead_letter() -> None:
    """Keys with control characters are shown escaped; a record without a key shows the url of its value."""
    found = with_cluster("dead-letters", "list", records=LETTERS)
    assert r"k\x07" in found.stdout
    assert "https://a.example/w" in found.stdout
    assert "\x07" not in found.stdout


def test_list_as_json_gives_all_without_values() -> None:
    """One object per dead letter with the size of the value instead; a foreign record has no reason."""
    found = with_cluster("dead-letters", "list", "--json", records=LETTERS)
    assert places(found.stdout) == ["0/3", "0/5", "1/0", "1/1"]
    first, *_, foreign = map(json.loads, found.stdout.splitlines())
    assert first["reason"] == "not_json"
    assert first["timestamp"] == "2023-11-14T22:13:22Z"
    assert first["value_bytes"] == len(b"\x1b[31m\xff[red]")
    assert "value" not in first
    assert foreign["reason"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--reason", "not_json", "--reason", "score_failed"), ["0/3", "1/0"]),
        (("--max-attempts", "1", "--reason", "wrong_type"), []),
        (("--last", "1"), ["1/1"]),
        (("0/5",), ["0/5"]),
        (("0/4-",), ["0/5"]),
        (("0/0-3", "1/0"), ["0/3", "1/0"]),
        (("0/4", "1/7-9"), []),
        (("0/3-5", "--reason", "wrong_type"), ["0/5"]),
    ],
)
def test_selecting(arguments: Sequence[str], expected: Sequence[str]) -> None:
    """Ranges and reasons narrow down what is listed."""
    assert places(with_cluster("dead-letters", "list", "--json", *arguments, records=LETTERS).stdout) == expected


@pytest.mark.parametrize("position", ["0", "a/1", "0/5-3", "0/-1", "2/0", "0/1\x1b-", "99999999999/1"])
def test_impossible_positions_are_wrong_usage(position: str) -> None:
    """Malformed positions, and partitions that the topic does not have, end with 2 and show nothing hostile."""
    found = with_cluster("dead-letters", "list", position, records=LETTERS)
    assert found.exit_code == 2
    assert "\x1b" not in found.stderr


def test_show_is_safe_to_read() -> None:
    """Everything is there, and bytes that a terminal would obey are escapes."""
    found = with_cluster("dead-letters", "show", "0/3", records=LETTERS)
    assert found.exit_code == 0
    facts = dict(line.split(maxsplit=1) for line in found.stdout.splitlines()[:-1])
    assert facts["source"] == "documents/1/7"
    assert facts["reason"] == "not_json"
    assert facts["key"] == r"k\x07"
    assert r"trace: \x9b1" in found.stdout
    assert found.stdout.endswith("\n" + r"\x1b[31m\xff[red]" + "\n")


def test_show_cuts_long_values_and_says_so() -> None:
    """A megabyte does not flood the terminal."""
    long = written(letter(Reason.NOT_JSON, b"x" * 10**6), 0, 0)
    found = with_cluster("dead-letters", "show", "0/0", records=[long])
    assert len(found.stdout) < 6000
    assert "1,000,000 bytes" in found.stdout
    assert "--value writes all of it" in found.stdout


def test_show_as_json_can_be_read_back() -> None:
    """The object is the dead letter's own JSON, and tells the place besides."""
    found = with_cluster("dead-letters", "show", "0/3", "--json", records=LETTERS)
    assert DeadLetter.from_json(found.stdout_bytes) == HOSTILE
    assert places(found.stdout) == ["0/3"]


def test_show_gives_the_value_byte_for_byte() -> None:
    """--value writes nothing but the value."""
    assert with_cluster("dead-letters", "show", "0/3", "--value", records=LETTERS).stdout_bytes == HOSTILE.value


def test_show_works_for_foreign_records() -> None:
    """A record that is no dead letter is shown all the same."""
    found = with_cluster("dead-letters", "show", "1/1", records=LETTERS)
    assert found.exit_code == 0
    assert "foreign" in found.stdout


@pytest.mark.parametrize("position", ["0/4", "0/99", "0/3-5"])
def test_show_says_when_there_is_nothing(position: str) -> None:
    """An offset that holds no record, one behind the end, and a range end with 2."""
    found = with_cluster("dead-letters", "show", position, records=LETTERS)
    assert found.exit_code == 2
    assert found.stdout == ""


def test_replay_needs_a_selection() -> None:
    """Without one nothing is sent."""
    sender = MemorySender()
    assert with_cluster("dead-letters", "replay", "--yes", records=LETTERS, sender=sender).exit_code == 2
    assert sender.sent == []


def test_replay_sends_the_originals_back_to_where_they_came_from() -> None:
    """Key, value and headers as they were, the attempts so far behind them; foreign records stay."""
    sender = MemorySender()
    found = with_cluster("dead-letters", "replay", "--all", "--yes", records=LETTERS, sender=sender)
    assert found.exit_code == 0
    assert [(item.key, item.value) for item in sender.sent] == [(i.key, i.value) for i in (HOSTILE, WRONG, FAILED)]
    assert {(item.topic, item.partition) for item in sender.sent} == {("documents", 1)}
    assert [item.headers for item in sender.sent] == [
        (*HOSTILE.headers, ("clf-attempts", b"1")),
        (("clf-attempts", b"2"),),
        (("clf-attempts", b"1"),),
    ]
    assert "1 record left out: no dead letters of clf." in found.stdout
    assert "Acknowledged: 3 records." in found.stdout
    assert found.stdout.endswith("Not seen yet, for the next time: 0/6- 1/2-\n")


def test_replay_of_some() -> None:
    """Ranges and reasons choose, as they do for the list."""
    sender = MemorySender()
    arguments = ("--reason", "wrong_type", "0/0-", "--yes")
    with_cluster("dead-letters", "replay", *arguments, records=LETTERS, sender=sender)
    assert [item.value for item in sender.sent] == [WRONG.value]


def test_a_dry_run_sends_nothing() -> None:
    """--dry-run says what would be sent."""
    sender = MemorySender()
    found = with_cluster("dead-letters", "replay", "--all", "--dry-run", records=LETTERS, sender=sender)
    assert found.exit_code == 0
    assert "3 dead letters (1 not_json, 1 wrong_type, 1 score_failed) for documents, within 0/3-5 1/0." in found.stdout
    assert sender.sent == []


def test_dead_letters_of_another_topic_stay() -> None:
    """What came from another topic than --documents is left out, and that is said."""
    sender = MemorySender()
    arguments = ("--all", "--yes", "--documents", "others")
    found = with_cluster("dead-letters", "replay", *arguments, records=LETTERS[:3], sender=sender)
    assert sender.sent == []
    assert "3 dead letters left out: they came from documents, not others." in found.stdout
    assert "There is nothing to replay." in found.stdout


@pytest.mark.parametrize(("answer", "sent", "exit_code"), [(True, 3, 0), (False, 0, 1)])
def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch, answer: bool, sent: int, exit_code: int) -> None:  # noqa: FBT001 - a parameter of a test
    """On a terminal it asks before it sends; a no sends nothing and ends with 1."""
    monkeypatch.setattr("worker.commands.dead_letters._is_dialogue", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_args, **_kwargs: answer)
    sender = MemorySender()
    found = with_cluster("dead-letters", "replay", "--all", records=LETTERS, sender=sender)
    assert (len(sender.sent), found.exit_code) == (sent, exit_code)


def test_a_replay_that_breaks_off_tells_what_is_left() -> None:
    """The ranges that were not acknowledged are printed, and the exit code is 4."""
    sender = MemorySender(fails_at=1)
    found = with_cluster("dead-letters", "replay", "--all", "--yes", records=LETTERS, sender=sender)
    assert found.exit_code == 4
    assert "Not acknowledged; up to one batch of it may be sent twice: 0/3-5 1/0" in found.stdout
    assert found.stderr.startswith("Error: ")


def test_rejected_records_are_named() -> None:
    """A record that the topic does not take is named by its key, and the exit code is 1."""
    sender = MemorySender(rejects=[b"u"])
    found = with_cluster("dead-letters", "replay", "--all", "--yes", records=LETTERS, sender=sender)
    assert found.exit_code == 1
    assert "key u: Message size too large" in found.stderr


def test_an_earlier_replays_header_gives_way() -> None:
    """Replaying again and again does not pile up headers, and leaves look-alikes of the crawler alone."""
    replayed = letter(Reason.WRONG_TYPE, b"", headers=(("clf-attempts", b"9"), ("clf-attempts", b"2")), attempts=3)
    assert to_record(replayed, "documents", 4).headers == (("clf-attempts", b"9"), ("clf-attempts", b"3"))
    crawlers = letter(Reason.WRONG_TYPE, b"", headers=(("clf-attempts", b"9"),), attempts=3)
    assert to_record(crawlers, "documents", 4).headers == (("clf-attempts", b"9"), ("clf-attempts", b"3"))


def test_a_partition_that_is_gone_is_chosen_anew() -> None:
    """When the documents topic has fewer partitions now, the key decides."""
    assert to_record(FAILED, "documents", 1).partition == -1


def test_the_largest_offsets_are_ranges_too() -> None:
    """An open range prints as it was given."""
    assert str(Range(0, 5, sys.maxsize)) == "0/5-"

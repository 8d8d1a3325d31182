"""`clf send`: what becomes a record, what does not, and what is said about it."""

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.document import Document, decode_document
from worker.clock import Clock
from worker.commands.documents import Reading
from worker.commands.send import Plan, Sending
from worker.commands.send_sources import Input
from worker.stream.records import Outgoing
from worker.tests.tools import MemorySender, clf, with_cluster

FIRST = b'{"url": "https://a.example/1", "text": "one", "crawler": {"depth": 3}}'
SECOND = b'{"url": "https://a.example/2", "text": "two", "lang": "de"}'


def sent(sender: MemorySender) -> Sequence[tuple[bytes | None, bytes | None]]:
    """Keys and values."""
    return [(item.key, item.value) for item in sender.sent]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two documents."""
    path = tmp_path / "pages.jsonl"
    path.write_bytes(FIRST + b"\n" + SECOND + b"\n")
    return path


def test_lines_are_sent_as_they_stand_and_keyed_by_url(file: Path) -> None:
    """Fields that clf does not know travel too; no header is needed for JSON."""
    sender = MemorySender()
    result = with_cluster("send", file, sender=sender)
    assert result.exit_code == 0
    assert sent(sender) == [(b"https://a.example/1", FIRST), (b"https://a.example/2", SECOND)]
    assert {(item.topic, item.partition, item.headers) for item in sender.sent} == {("documents", -1, ())}
    assert sender.finished == 1
    assert result.stdout.startswith("Delivered 2 documents to documents in ")


def test_protobuf_has_its_header(file: Path) -> None:
    """--encoding protobuf sends the same documents in the other encoding, and says so in the header."""
    sender = MemorySender()
    assert with_cluster("send", file, "--encoding", "protobuf", sender=sender).exit_code == 0
    headers = (("content-type", b"application/x-protobuf"),)
    assert [item.headers for item in sender.sent] == [headers, headers]
    found = [decode_document(item.value or b"", "application/x-protobuf") for item in sender.sent]
    assert found == [decode_document(FIRST), decode_document(SECOND)]


def test_bad_lines_are_told_and_left_out(tmp_path: Path) -> None:
    """Exit code 1, a report with file, line and reason, and the good ones are sent."""
    path = tmp_path / "pages.jsonl"
    path.write_bytes(b"half {\n" + FIRST + b'\n{"text": "no url"}\n')
    sender = MemorySender()
    result = with_cluster("send", path, sender=sender)
    assert result.exit_code == 1
    assert [value for _, value in sent(sender)] == [FIRST]
    assert f"{path}, line 1: " in result.stderr
    assert "(not_json)" in result.stderr
    assert f"{path}, line 3: " in result.stderr
    assert "Could not use 2 lines" in result.stderr
    assert with_cluster("send", path, "--skip-bad", sender=sender).exit_code == 0


def test_raw_sends_everything(tmp_path: Path) -> None:
    """--raw sends lines as they are, keyed by their url where they name one."""
    path = tmp_path / "pages.jsonl"
    path.write_bytes(b'half {\n{"url": "u", "text": 7}\n\xff\xfe\n')
    sender = MemorySender()
    assert with_cluster("send", path, "--raw", sender=sender).exit_code == 0
    assert sent(sender) == [(None, b"half {"), (b"u", b'{"url": "u", "text": 7}'), (None, b"\xff\xfe")]


def test_repeating_makes_distinct_urls(file: Path) -> None:
    """Every round has urls of its own, also in the key; other fields stay."""
    sender = MemorySender()
    assert with_cluster("send", file, "--repeat", "3", sender=sender).exit_code == 0
    urls = [item.key for item in sender.sent]
    assert len(set(urls)) == 6
    assert urls[:3] == [b"https://a.example/1", b"https://a.example/2", b"https://a.example/1#2"]
    assert [json.loads(item.value or b"")["url"].encode() for item in sender.sent] == urls
    assert json.loads(sender.sent[2].value or b"")["crawler"] == {"depth": 3}


def test_limit_counts_over_all_rounds(file: Path) -> None:
    """--limit stops in the middle of a round."""
    sender = MemorySender()
    with_cluster("send", file, "--repeat", "3", "--limit", "3", sender=sender)
    assert len(sender.sent) == 3


def test_lang_fills_what_is_missing(file: Path) -> None:
    """--lang is written into documents that name no language, and into no other."""
    sender = MemorySender()
    with_cluster("send", file, "--lang", "en", sender=sender)
    assert [json.loads(item.value or b"")["lang"] for item in sender.sent] == ["en", "de"]


def test_a_directory_gives_its_lines_and_texts_in_order(tmp_path: Path) -> None:
    """JSON-lines files and texts are found at any depth; a text's url is the prefix and its path; the rest stays."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.txt").write_text("Grüße", "utf-8")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(FIRST))
    (tmp_path / "notes.md").write_text("not this", "utf-8")
    sender = MemorySender()
    result = with_cluster("send", tmp_path, "--url-prefix", "https://t.example/", "--lang", "de", sender=sender)
    assert result.exit_code == 0
    found = [decode_document(item.value or b"") for item in sender.sent]
    assert found == [
        Document("https://a.example/1", "", "one", "de"),
        Document("https://t.example/sub/a%20b.txt", "", "Grüße", "de"),
    ]


def test_texts_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """A text that is too large or no UTF-8 is reported, as a line would be."""
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "large.txt").write_bytes(b"x" * 2000)
    sender = MemorySender()
    result = with_cluster("send", tmp_path, "--max-document-bytes", "1000", sender=sender)
    assert result.exit_code == 1
    assert sender.sent == []
    assert "(not_utf8)" in result.stderr
    assert "(too_large)" in result.stderr


def test_an_empty_directory_is_wrong_usage(tmp_path: Path) -> None:
    """It says which names it looks for."""
    result = with_cluster("send", tmp_path, sender=MemorySender())
    assert result.exit_code == 2
    assert ".jsonl" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--raw", "--repeat", "2"), ("--raw", "--encoding", "protobuf"), ("--raw", "--lang", "en"), ("--lang", "12")],
)
def test_contradictions_are_wrong_usage(file: Path, arguments: Sequence[str]) -> None:
    """Options that exclude each other, and an impossible language, end with 2 and send nothing."""
    sender = MemorySender()
    assert with_cluster("send", file, *arguments, sender=sender).exit_code == 2
    assert sender.sent == []


def test_standard_input_cannot_be_repeated() -> None:
    """--repeat needs files that can be read again."""
    assert with_cluster("send", "--repeat", "2", sender=MemorySender()).exit_code == 2


def test_a_cluster_that_stops_is_fatal_and_the_count_is_told(file: Path) -> None:
    """What was acknowledged is reported before the error; exit code 4."""
    result = with_cluster("send", file, sender=MemorySender(fails_at=1))
    assert result.exit_code == 4
    assert result.stdout.startswith("Delivered 1 document to documents")
    assert result.stderr.endswith("Error: The cluster stopped taking records.\n")


def test_rejected_records_are_told(file: Path) -> None:
    """A record that the broker refuses on its own account is named by its key; the others go on; exit code 1."""
    sender = MemorySender(rejects=[b"https://a.example/1"])
    result = with_cluster("send", file, sender=sender)
    assert result.exit_code == 1
    assert "key https://a.example/1: Message size too large" in result.stderr
    assert len(sender.sent) == 1


def test_no_cluster_cannot_start(tmp_path: Path) -> None:
    """A properties file that is no such thing ends with 3 and one line."""
    properties = tmp_path / "kafka.properties"
    properties.write_text("no equals sign\n", "utf-8")
    result = clf("send", "--bootstrap-servers", "nowhere.invalid:1", "--kafka-config", properties)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1


class _Turned(Clock):
    """A clock that only sleeping turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class _Timed(MemorySender):
    """Notes when it was given how much."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.times: list[tuple[float, int]] = []

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        super().send(outgoing)
        self.times.append((self.clock.monotonic(), len(self.sent)))


def test_the_rate_is_kept(tmp_path: Path) -> None:
    """At 50 a second there are never more than a tenth of a second's worth ahead, and 100 take two seconds."""
    path = tmp_path / "pages.jsonl"
    path.write_bytes((FIRST + b"\n") * 100)
    clock = _Turned()
    sender = _Timed(clock)
    plan = Plan(form="json", protobuf=False, raw=False, per_second=50.0, limit=None, repeat=1, url_prefix="")
    stand_in = cast("Any", sender)  # it has what `Sending` uses of a `Sender`
    assert Sending(stand_in, "documents", plan, Reading(), clock).run([Input(path, path.name)]) == 0
    assert all(count <= 50 * at + 5 for at, count in sender.times)
    assert clock.now == pytest.approx(2.0)

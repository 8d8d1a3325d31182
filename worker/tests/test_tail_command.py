"""`clf tail`: what is shown of the results."""

import json
from collections.abc import Sequence

import pytest

from schemas.classification import Classification, ClassProbability, ModelStamp, Source, Status
from worker.tests.tools import record, with_cluster

STAMP = ModelStamp("en", "v1", "0" * 16)


def result(url: str, label: str, offset: int) -> Classification:
    """A result as a worker publishes it."""
    classes = (ClassProbability(label, 0.75), ClassProbability("other", 0.125))
    return Classification(url, "en", Status.CLASSIFIED, (label,), classes, STAMP, Source("documents", 0, offset))


SPORT, HEALTH = result("https://a.example/s", "sport", 0), result("https://b.example/h", "health", 1)
TOPIC = [
    record("classifications", 0, 0, SPORT.to_json(), b"https://a.example/s"),
    record("classifications", 0, 1, None, b"https://a.example/gone"),
    record("classifications", 0, 2, b"\x1bnot json"),
    record("classifications", 1, 0, HEALTH.to_json(), b"https://b.example/h"),
]


def urls(output: str) -> Sequence[str]:
    """The urls of JSON lines."""
    return [json.loads(line)["url"] for line in output.splitlines()]


def test_in_a_pipe_results_are_the_published_bytes() -> None:
    """JSON lines, byte for byte; a tombstone is an object of its own; what is no result is reported, not fatal."""
    found = with_cluster("tail", "--no-follow", records=TOPIC)
    assert found.exit_code == 0
    assert found.stdout_bytes.split(b"\n") == [
        SPORT.to_json(),
        b'{"url":"https://a.example/gone","tombstone":true}',
        HEALTH.to_json(),
        b"",
    ]
    assert "classifications/0/2 is no classification: " in found.stderr
    assert "\x1b" not in found.stderr
    assert "1 value of classifications could not be read." in found.stderr


def test_protobuf_and_folded_json_become_one_line() -> None:
    """Values that other producers wrote come out as JSON lines too."""
    folded = json.dumps(json.loads(SPORT.to_json()), indent=1).encode()
    protobuf = (("content-type", b"application/x-protobuf"),)
    records = [
        record("classifications", 0, 0, folded),
        record("classifications", 0, 1, SPORT.to_protobuf(), headers=protobuf),
    ]
    found = with_cluster("tail", "--no-follow", records=records)
    assert found.stdout_bytes == (SPORT.to_json() + b"\n") * 2


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("--url", "b.example"), ["https://b.example/h"]),
        (("--label", "sport"), ["https://a.example/s"]),
        (("--label", "sport", "--label", "health"), ["https://a.example/s", "https://b.example/h"]),
        (("--label", "sport", "--url", "b.example"), []),
        (("--url", "a.example"), ["https://a.example/s", "https://a.example/gone"]),
        (("--limit", "2"), ["https://a.example/s", "https://a.example/gone"]),
    ],
)
def test_filters(filters: Sequence[str], expected: Sequence[str]) -> None:
    """Only what was asked for is shown; a tombstone has a url and no label."""
    assert urls(with_cluster("tail", "--no-follow", *filters, records=TOPIC).stdout) == expected


def test_following_starts_behind_the_last_result() -> None:
    """Without --from-beginning what is there already is not shown; --for ends it with 0."""
    found = with_cluster("tail", "--for", "0.05", records=TOPIC)
    assert (found.exit_code, found.stdout) == (0, "")
    assert "Following classifications (2 partitions)" in found.stderr


def test_following_from_the_beginning_until_the_limit() -> None:
    """--limit ends following with 0."""
    found = with_cluster("tail", "--from-beginning", "--limit", "3", records=TOPIC)
    assert found.exit_code == 0
    assert len(urls(found.stdout)) == 3


def test_rows_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row tells url, language, labels, the top classes and the age; hostile urls are shown escaped."""
    monkeypatch.setattr("worker.commands.tail._wants_rows", lambda _view: True)
    hostile = result("https://x/\x1b]0;[red]", "sport", 5)
    found = with_cluster("tail", "--no-follow", records=[*TOPIC, record("classifications", 1, 1, hostile.to_json())])
    assert found.exit_code == 0
    head, sport, gone, *_ = found.stdout.splitlines()
    assert head.split() == ["url", "lang", "labels", "most", "probable", "age"]
    assert sport.split()[:7] == ["https://a.example/s", "en", "sport", "sport", "0.75", "other", "0.12"]
    assert sport.endswith(" d")
    assert gone.split()[:2] == ["https://a.example/gone", "tombstone"]
    assert r"https://x/\x1b]0;[red]" in found.stdout
    assert "\x1b" not in found.stdout

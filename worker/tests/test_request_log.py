"""The request log: entries become lines in time, or are counted."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import DEFAULT, Mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.serve import request_files, request_log
from worker.serve.request_log import Drop, RequestLogError
from worker.tests.request_log_scene import END, FULL, HOUR, NEXT, NOW, PATIENCE, THIS, Logs, Scene, entry

STEPS = st.tuples(st.sampled_from(["add", "drain", "take", "fail"]), st.integers(0, 900))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A log like most, not started: the tests drain it themselves."""
    return Scene(tmp_path)


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What the program says meanwhile."""
    with capture_logs() as captured:
        yield captured


def test_a_line(scene: Scene) -> None:
    """An entry is a line of JSON, its time in UTC with six decimals, its duration in milliseconds."""
    scene.write("https://example.org/a")
    scene.write("b", time=NOW // 1, status="unsupported_language", labels=(), classes=(), model=None)
    assert scene.lines()[0] == (
        '{"time":"2026-11-26T10:18:03.123456Z","url":"https://example.org/a","method":"Classify","lang":"en",'
        '"status":"classified","title_chars":9,"text_chars":42,"labels":["sport"],'
        '"classes":[{"name":"sport","prob":0.93}],"model":"en/v1","ms":0.412}'
    )
    found = orjson.loads(scene.lines()[1])
    assert (found["time"], found["classes"], found["model"]) == ("2026-11-26T10:18:03.000000Z", [], None)


@pytest.mark.parametrize(("with_text", "written"), [(True, "a\nb ?"), (False, None)])
def test_texts_only_when_asked_for(tmp_path: Path, with_text: bool, written: str | None) -> None:  # noqa: FBT001 - a case
    """Without `with_text` none is written, even where an entry has one; half a surrogate pair becomes a `?`."""
    scene = Scene(tmp_path, with_text=with_text)
    scene.log.add(entry("u\udfff", text="a\nb \ud800"))
    scene.write("none")
    assert scene.urls() == ["u?", "none"]
    assert [orjson.loads(line).get("text") for line in scene.lines()] == [written, None]


@pytest.mark.parametrize("broken", [{"time": float("nan")}, {"time": 1e300}, {"url": b"u"}, {"classes": ((1, 2, 3),)}])
def test_what_is_no_entry(scene: Scene, broken: dict[str, Any]) -> None:
    """What cannot be written as JSON is counted, and its neighbours are written."""
    scene.log.add(entry("before"))
    scene.log.add(entry(**broken))
    scene.write("after")
    assert (scene.urls(), scene.drops) == (["before", "after"], {Drop.WRITE_FAILED: 1})


def test_a_portion_is_one_write(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines go to the file whole, as others write to it too, in portions that are bounded by entries and by text."""
    scene.write("a", "b", "c")
    monkeypatch.setattr(request_log, "_PORTION_ENTRIES", 2)
    scene.write(*"defgh")
    monkeypatch.setattr(request_log, "_PORTION_CHARS", 10)
    scene.write("i", "j", text="0123456789")
    assert [data.count(b"\n") for data in scene.disk.writes] == [3, 2, 2, 1, 1, 1]
    assert scene.urls() == list("abcdefghij")


def test_an_hour_ends_in_mid_portion(scene: Scene) -> None:
    """Entries go to the file of their own hour, each file getting one write, however they are mixed."""
    end = NOW - NOW % HOUR + HOUR
    for url, time in [("a", end - 1), ("b", end), ("c", end - 1e-7), ("d", end - 0.001), ("e", end + 1)]:
        scene.log.add(entry(url, time))
    scene.log.drain()
    assert (scene.urls(THIS), scene.urls(NEXT), len(scene.disk.writes)) == (["a", "d"], ["b", "c", "e"], 2)


def test_two_logs_share_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What two write at once to one file is all there, in whole lines."""
    monkeypatch.setattr(request_log, "_PORTION_ENTRIES", 7)
    together = threading.Barrier(2)

    def work(name: str) -> None:
        scene = Scene(tmp_path)
        together.wait(PATIENCE)
        scene.write(*[f"{name}{index}" for index in range(1000)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, "ab"))
    assert sorted(Scene(tmp_path).urls()) == sorted(f"{name}{index}" for name in "ab" for index in range(1000))


def test_a_full_queue(tmp_path: Path) -> None:
    """What does not fit is counted, what waits stays, and room that is made is used."""
    scene = Scene(tmp_path, queue_entries=2)
    scene.write("a", "b", "c")
    scene.write("d")
    assert (scene.urls(), scene.log.waiting, scene.drops) == (["a", "b", "d"], 0, {Drop.QUEUE_FULL: 1})


def test_texts_that_wait_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a hung disk texts take no more memory than that, but one larger than all of it is written all the same."""
    monkeypatch.setattr(request_log, "_QUEUE_CHARS", 10)
    scene.write("a", "b", "c", text="12345")
    scene.log.add(entry("d"))
    scene.write("e", text="12345678901234567890")
    scene.write("f", text="1")
    assert (scene.urls(), scene.drops) == (["a", "b", "d", "e", "f"], {Drop.QUEUE_FULL: 1})
    assert scene.log._chars == 0


def test_adding_never_raises(scene: Scene, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call does not fail for a broken counter, nor because the writer took the entry that was one too many."""
    monkeypatch.setattr(scene.log, "_dropped", Mock(side_effect=KeyError))
    scene.log.close(0)
    scene.log.add(entry())
    scene.log._drop_newest()
    assert [line["event"] for line in logs] == ["request_log_failed"]


def test_from_start_to_close(tmp_path: Path) -> None:
    """The writer comes by itself, `close` returns when all is written, and what comes later is only counted."""
    scene = Scene(tmp_path / "new" / "log")
    before = os.umask(0)
    scene.log.start()
    os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (scene.directory, scene.directory / THIS)] == [0o750, 0o640]
    scene.log.add(entry("a"))
    assert scene.disk.asked.wait(PATIENCE)
    scene.log.add(entry("b"))
    scene.log.close(PATIENCE)
    assert scene.log._file._file == request_files._CLOSED
    scene.log.add(entry("c"))
    scene.log.close(PATIENCE)
    assert (scene.urls(), scene.log.waiting, scene.drops) == (["a", "b"], 0, {Drop.QUEUE_FULL: 1})


def test_a_hung_disk(tmp_path: Path, logs: Logs) -> None:
    """While a write hangs, entries are taken or counted, and `close` gives up on those that wait and those in hand."""
    scene = Scene(tmp_path, queue_entries=3)
    scene.disk.answers.clear()
    scene.log.start()
    scene.log.add(entry())
    assert scene.disk.asked.wait(PATIENCE)
    for _ in range(5):
        scene.log.add(entry())
    assert (scene.log.waiting, scene.drops) == (3, {Drop.QUEUE_FULL: 2})
    scene.log.close(0.01)
    assert (scene.log.waiting, scene.drops) == (0, {Drop.QUEUE_FULL: 2, Drop.WRITE_FAILED: 4})
    assert [(line["event"], line["entries"]) for line in logs] == [("request_log_incomplete", 4)]
    scene.disk.answers.set()
    scene.log.close(PATIENCE)
    assert scene.drops.total() == 6, "nothing is counted twice when the disk comes back"


def test_none_is_lost_between_adding_and_closing(scene: Scene) -> None:
    """Whatever is added while the log is being closed is written or counted."""
    scene.log.start()
    with ThreadPoolExecutor(4) as pool:
        pool.map(list, [map(scene.log.add, [entry()] * 2000) for _ in range(4)])
        assert scene.disk.asked.wait(PATIENCE)
        scene.log.close(PATIENCE)
    assert len(scene.urls()) + scene.drops.total() == 8000


def test_the_writer_survives_a_bug(scene: Scene, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something nobody thought of is logged, its portion is counted, and the next is written."""
    monkeypatch.setattr(request_log, "_PORTION_ENTRIES", 1)
    monkeypatch.setattr(scene.log, "_stop", Mock(wait=Mock(side_effect=[False, True])))
    by_hour = Mock(wraps=scene.log._by_hour, side_effect=[ZeroDivisionError, DEFAULT])
    monkeypatch.setattr(scene.log, "_by_hour", by_hour)
    scene.log.add(entry("a"))
    scene.log.add(entry("b"))
    scene.log._run()
    assert (scene.urls(), scene.drops) == (["b"], {Drop.WRITE_FAILED: 1})
    assert [line["event"] for line in logs] == ["request_log_failed"]


@pytest.mark.parametrize("where", ["log", f"log/{THIS}"])
def test_it_cannot_start(tmp_path: Path, where: str) -> None:
    """No directory, or no file in it, is said at once with the path and what to do, and a link is not followed."""
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).symlink_to(tmp_path / "missing")
    with pytest.raises(RequestLogError, match=rf"{tmp_path / where}: .*Name a directory"):
        Scene(tmp_path / "log").log.start()
    assert not (tmp_path / "missing").exists()


def test_a_full_disk_at_start(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not keep the log from starting, nor the server that has it."""
    monkeypatch.setattr(scene.disk, "open", Mock(wraps=os.open, side_effect=[FULL, DEFAULT]))
    scene.log.start()
    scene.log.add(entry("a"))
    scene.log.close(PATIENCE)
    assert scene.urls() == ["a"]


def test_a_disk_that_fills_up_in_mid_portion(scene: Scene, logs: Logs) -> None:
    """One line is damaged; those before it are there, it and those after it are counted, later ones are whole."""
    scene.write("a")
    scene.disk.takes = [len(scene.lines()[0]) * 2 + 30, FULL, FULL]
    scene.write("b", "c", "d", "e")
    scene.write("f")
    scene.write("g", "h")
    scene.write("i")
    lines = scene.lines()
    assert len(lines.pop(3)) == 28
    assert [orjson.loads(line)["url"] for line in lines] == list("abcghi")
    assert scene.drops == {Drop.WRITE_FAILED: 3}
    assert [line["event"] for line in logs] == ["request_log_cannot_write", "request_log_writes_again"]
    assert (logs[0]["log_level"], logs[0]["reason"]) == ("warning", "No space left on device")


@pytest.mark.parametrize("cut", [-3, -2, -1, 0, 1, 20])
def test_a_short_write_that_can_be_finished(scene: Scene, cut: int) -> None:
    """A line that was cut is written again, unless it lacks only its end, and no entry is there twice."""
    scene.write("a")
    scene.disk.takes = [len(scene.disk.writes[0]) + cut]
    scene.write("b", "c")
    whole = [line for line in scene.lines() if line.endswith(END)]
    assert ([orjson.loads(line)["url"] for line in whole], scene.drops) == (["a", "b", "c"], {})


@given(st.lists(STEPS, max_size=30), st.sampled_from([700, 10**9]))
def test_written_and_dropped_are_what_was_added(steps: list[tuple[str, int]], max_bytes: int) -> None:
    """Whatever the disk does, each entry is written once or counted once, and a write damages one line at most."""
    with TemporaryDirectory() as directory:
        scene = Scene(Path(directory), max_bytes=max_bytes, queue_entries=12)
        added = 0
        for step, number in steps:
            if step == "add":
                added += number % 9
                for index in range(number % 9):
                    scene.log.add(entry(str(added - index)))
            elif step == "drain":
                scene.log.drain()
            else:
                scene.disk.takes.append(number if step == "take" else FULL)
        scene.log.close(0)
        lines = scene.lines() if scene.names() else []
    whole = [orjson.loads(line)["url"] for line in lines if line.endswith(END)]
    assert len(whole) == len(set(whole)) == added - scene.drops.total()
    assert len(lines) - len(whole) <= sum(step == "take" for step, _ in steps)

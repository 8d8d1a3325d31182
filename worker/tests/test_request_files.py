"""The files of the request log: opened, found changed, and removed in time."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from worker.serve.request_log import Drop
from worker.tests.request_log_scene import HOUR, NEXT, NOW, THIS, Logs, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A log like most, not started: the tests drain it themselves."""
    return Scene(tmp_path)


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What the program says meanwhile."""
    with capture_logs() as captured:
        yield captured


def test_the_file_is_not_as_it_was_left(scene: Scene) -> None:
    """Half a line is left alone, a file that was removed or renamed is begun anew, a pipe or a link takes nothing."""
    this = scene.directory / THIS
    this.write_text('{"url":"z"}\n{"ur')
    scene.write("a")
    assert [line[:11] for line in scene.lines()] == ['{"url":"z"}', '{"ur', '{"time":"20']
    this.unlink()
    scene.write("b")
    this.rename(scene.directory / "rotated")
    scene.write("c")
    assert (scene.urls(), scene.urls("rotated"), scene.drops) == (["c"], ["b"], {})
    this.unlink()
    os.mkfifo(this)
    (scene.directory / NEXT).symlink_to(scene.directory / "elsewhere")
    scene.write("d")
    scene.write("e", time=NOW + HOUR)
    assert (scene.names(), scene.drops) == ({THIS, NEXT, "rotated"}, {Drop.WRITE_FAILED: 2})


def test_the_hour_alone_is_too_large(tmp_path: Path, logs: Logs) -> None:
    """Once its file has reached the size of the log, entries are counted until there is room, or the next hour."""
    scene = Scene(tmp_path, max_bytes=100)
    scene.write("a")
    scene.write("b", "c")
    os.truncate(tmp_path / THIS, 0)
    scene.write("d")
    scene.write("e")
    scene.write("f", time=NOW + HOUR)
    assert (scene.urls(), scene.urls(NEXT), scene.drops) == (["d"], ["f"], {Drop.TOO_LARGE: 3})
    assert [line["log_level"] for line in logs] == ["warning", "info"] * 2


def test_old_files_go(tmp_path: Path) -> None:
    """A file goes when the end of its hour is older than the age; what is not the log's own stays, however old."""
    scene = Scene(tmp_path, max_age_seconds=2 * HOUR)
    kept = {"request-2020-01-01T00.log.gz", "xrequest-2020-01-01T00.log", "request-2020-01-01.log", "a.log"}
    kept |= {"request-2020-01-01T00.log\n", "request-\u0662020-01-01T00.log", "request-2026-11-26T08.log"}
    scene.make(*kept, "request-2026-11-26T07.log", "request-2025-12-31T23.log")
    (tmp_path / "request-2020-01-01T01.log").symlink_to(tmp_path / "a.log")
    (tmp_path / "request-2020-01-01T02.log").mkdir()
    scene.log.drain()
    assert scene.names() == kept | {"request-2020-01-01T01.log", "request-2020-01-01T02.log"}


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    """Other files are not counted in, and that of the present hour stays, whatever its size."""
    scene = Scene(tmp_path, max_bytes=250)
    foreign = "request-\u0662026-11-26T00.log"
    scene.make(*[f"request-2026-11-26T0{hour}.log" for hour in range(10)], THIS, foreign)
    scene.log.drain()
    assert scene.names() == {"request-2026-11-26T09.log", THIS, foreign}
    scene.make(THIS, size=1000)
    scene.clock.now += 60
    scene.log.drain()
    assert scene.names() == {THIS, foreign}


def test_when_it_is_swept(scene: Scene) -> None:
    """At start, a minute after the last time, and when an hour begins."""
    old = "request-2020-01-01T00.log"
    for seconds, swept in [(0, True), (59, False), (1, True), (HOUR - 61 - NOW % HOUR, True), (1, True), (1, False)]:
        scene.make(old)
        scene.clock.now += seconds
        scene.log.drain()
        assert (old not in scene.names()) is swept


def test_files_that_cannot_be_removed(scene: Scene, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another process removed is fine; one that must stay is said once, and keeps no other from going."""
    scene.make(*[f"request-2020-01-01T0{hour}.log" for hour in range(3)])
    gone, forbidden = FileNotFoundError(errno.ENOENT, "gone"), PermissionError(errno.EPERM, "forbidden")
    unlink = Mock(side_effect=[gone, forbidden, None] * 2 + [gone, None, None])
    monkeypatch.setattr(Path, "unlink", unlink)
    for _ in range(3):
        scene.log.drain()
        scene.clock.now += 60
    assert (unlink.call_count, logs[0]["reason"]) == (9, "forbidden")
    assert [line["event"] for line in logs] == ["request_log_cannot_remove", "request_log_removes_again"]

"""Directories of processes: made for one, and removed when it is gone."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from worker.clock import SystemClock
from worker.serve.scratch import ScratchError, scratch_directory

NOW = SystemClock().time()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_for_this_process_and_this_user(place: Path) -> None:
    """Closed to others, and gone with all that is in it at the end of the block."""
    with scratch_directory(NOW) as path:
        assert path.parent == place
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "grpc.sock").touch()
    assert not path.exists()


def test_what_killed_processes_left_is_removed(place: Path) -> None:
    """Once it is a minute old; what a living process has locked, and whatever only looks similar, stays."""
    for name in ("clf-serve-dead", "clf-serve-alive", "clf-serve-young", "other"):
        (place / name).mkdir()
    (place / "clf-serve-dead" / "grpc.sock").touch()
    (place / "clf-serve-link").symlink_to(place / "other")
    (place / "clf-serve-file").touch()
    for name in ("clf-serve-dead", "clf-serve-alive"):
        os.utime(place / name, (NOW - 61, NOW - 61))
    lock = os.open(place / "clf-serve-alive", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with scratch_directory(NOW) as made:
        left = {path.name for path in place.iterdir()} - {made.name}
    os.close(lock)
    assert left == {"clf-serve-alive", "clf-serve-young", "clf-serve-link", "clf-serve-file", "other"}


def test_two_at_once_leave_each_other_alone(place: Path) -> None:
    """However much later the second one begins."""
    with scratch_directory(NOW) as first, scratch_directory(NOW + 3600) as second:
        assert {first, second} == set(place.iterdir())


def test_no_place_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to do."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(ScratchError, match="Set TMPDIR"), scratch_directory(NOW):
        pass

"""Slots: one holder at a time on a host, whatever becomes of it."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.slot import Slot, SlotError

HOLD = """
import sys
from pathlib import Path
from worker.slot import Slot
slot = Slot("clf", sys.argv[1], Path(sys.argv[2]))
print(slot.name, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(directory: Path, name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that holds a slot until it is told to end; and the name it got."""
    command = [sys.executable, "-c", HOLD, name, str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_it_makes_the_transactional_id(tmp_path: Path) -> None:
    """Group and slot, the same after every restart."""
    for _ in range(2):
        with Slot("clf", "rack-7", tmp_path) as slot:
            assert (slot.name, slot.transactional_id) == ("rack-7", "clf-rack-7")


def test_a_named_slot_has_one_holder(tmp_path: Path) -> None:
    """A second process is refused, with what to do; other names and other groups are free."""
    with holder(tmp_path, "s") as (_, name):
        assert name == "s"
        with pytest.raises(SlotError, match=r"Slot s of group clf is in use.*--slot"):
            Slot("clf", "s", tmp_path)
        with Slot("clf", "other", tmp_path), Slot("another-group", "s", tmp_path):
            pass


def test_auto_takes_the_first_free_number(tmp_path: Path) -> None:
    """Numbers are given from 0, and one that becomes free is given again."""
    host = socket.gethostname()
    with holder(tmp_path, "auto") as (_, first), Slot("clf", "auto", tmp_path) as second:
        assert (first, second.name) == (f"{host}-0", f"{host}-1")
        with Slot("clf", "auto", tmp_path) as third:
            assert third.name == f"{host}-2"
    with Slot("clf", "auto", tmp_path) as again:
        assert again.name == f"{host}-0"


def test_a_killed_holder_frees_its_slot(tmp_path: Path) -> None:
    """SIGKILL leaves the lock's file behind, but not the lock."""
    with holder(tmp_path, "s") as (process, _):
        process.kill()
        process.wait()
        with Slot("clf", "s", tmp_path) as slot:
            assert slot.name == "s"


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    """And frees nothing that another holds by then."""
    slot = Slot("clf", "s", tmp_path)
    slot.close()
    with Slot("clf", "s", tmp_path):
        slot.close()
        with pytest.raises(SlotError):
            Slot("clf", "s", tmp_path)


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a b", "\u00fcml\u00e4ut", "-", "\n"])
def test_odd_names_stay_in_the_directory(tmp_path: Path, name: str) -> None:
    """The name of the lock's file is harmless, whatever the slot is called; the transactional id keeps it."""
    directory = tmp_path / "slots"
    with Slot("group/1", name, directory) as slot:
        assert slot.transactional_id == f"group/1-{name}"
        [path] = directory.iterdir()
    assert [found.name for found in tmp_path.iterdir()] == ["slots"]
    assert path.name.isascii()


def test_the_directory_is_ours_alone(tmp_path: Path) -> None:
    """Directory and files can neither be read nor written by others."""
    directory = tmp_path / "slots"
    with Slot("clf", "s", directory):
        [path] = directory.iterdir()
        assert (stat.S_IMODE(directory.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (0o700, 0o600)


def test_a_planted_link_is_refused(tmp_path: Path) -> None:
    """A symbolic link in place of the lock's file is not followed, so nobody's file is touched through it."""
    victim = tmp_path / "victim"
    directory = tmp_path / "slots"
    directory.mkdir()
    (directory / "clf-s.lock").symlink_to(victim)
    with pytest.raises(SlotError, match="cannot be opened"):
        Slot("clf", "s", directory)
    assert not victim.exists()


def test_a_planted_directory_is_refused(tmp_path: Path) -> None:
    """A link in place of the directory leads where another wants, so it is refused too."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "slots").symlink_to(elsewhere)
    with pytest.raises(SlotError):
        Slot("clf", "s", tmp_path / "slots")
    assert list(elsewhere.iterdir()) == []


def test_a_directory_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Whoever could delete the lock's file could let a second worker in."""
    directory = tmp_path / "slots"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(SlotError):
        Slot("clf", "s", directory)


@pytest.mark.parametrize("blocked", ["file", "absent"])
def test_an_unusable_directory(tmp_path: Path, blocked: str) -> None:
    """A directory that cannot be made is an error with the path in it, not a crash."""
    place = tmp_path / "place"
    if blocked == "file":
        place.write_text("in the way")
    with pytest.raises(SlotError, match=str(place)):
        Slot("clf", "s", place / "slots")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_unwritable_directory(tmp_path: Path) -> None:
    """No right to write is said as such."""
    directory = tmp_path / "slots"
    directory.mkdir(mode=0o500)
    with pytest.raises(SlotError, match="Permission denied"):
        Slot("clf", "s", directory)


def test_too_long_a_name(tmp_path: Path) -> None:
    """The system's limit on file names is an error to read, too."""
    with pytest.raises(SlotError, match="too long"):
        Slot("clf", "x" * 300, tmp_path)


def test_a_word_for_the_next_holder(tmp_path: Path) -> None:
    """It stays until another one is left, belongs to one slot, and is empty at first."""
    with Slot("clf", "s", tmp_path) as slot:
        assert slot.word == ""
        slot.leave("a long word")
        slot.leave("a word")
    for _ in range(2):
        with Slot("clf", "s", tmp_path) as slot, Slot("clf", "other", tmp_path) as other:
            assert (slot.word, other.word) == ("a word", "")
    with Slot("clf", "s", tmp_path) as slot:
        slot.leave("")
    with Slot("clf", "s", tmp_path) as slot:
        assert slot.word == ""
    slot.leave("too late")
    with Slot("clf", "s", tmp_path) as slot:
        assert slot.word == ""


def test_a_word_that_is_no_text(tmp_path: Path) -> None:
    """Whatever is in the file, the slot can be had."""
    with Slot("clf", "s", tmp_path):
        pass
    next(tmp_path.iterdir()).write_bytes(b"\xff" * 1000)
    with Slot("clf", "s", tmp_path) as slot:
        assert len(slot.word) == 100

"""A small file system that can be filled up and freed again: in memory, so that nobody else's disk is touched."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BALLAST = "ballast"
_MIB = 2**20


class NoDiskError(Exception):
    """A file system cannot be mounted here. The text says why."""


class Disk:
    """One of some MiB, mounted at `path`. Use `mounted`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, *, leave: int = 0) -> None:
        """Take all the space that there is, but for `leave` bytes."""
        with (self.path / _BALLAST).open("wb", buffering=0) as file:
            block = bytes(_MIB)
            found = os.statvfs(self.path)
            left = found.f_bavail * found.f_frsize - leave
            try:
                while left > 0:
                    left -= file.write(block[:left])
            except OSError:
                return  # somebody else was writing too: it is full

    def free(self) -> None:
        """Give the space back."""
        (self.path / _BALLAST).unlink()


@contextmanager
def mounted(path: Path, mib: int) -> Iterator[Disk]:
    """A disk for the time of the block.

    Raises:
        NoDiskError: this takes root, and a machine that lets it mount.
    """
    path.mkdir(parents=True)
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "clf-faults", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        path.rmdir()
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        raise NoDiskError(f"A small file system cannot be mounted here: {said}") from error
    try:
        yield Disk(path)
    finally:
        _run("umount", "--lazy", str(path))  # at once, whoever still has a file open
        path.rmdir()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)

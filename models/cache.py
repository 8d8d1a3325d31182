"""Where copies of bundles are put: whole or not at all, by one process at a time, and nothing of dead ones stays."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from models.durable import sync, sync_name

_LOCK_NAME: Final = ".lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only process that fetches into `directory`, which is created; leftovers of killed ones are removed.

    Readers take no lock: what has its name is whole.

    Raises:
        OSError: the disk is full, or not ours to write to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go by the system when this process dies
        for leftover in directory.glob(".*.tmp"):
            if leftover.is_dir():  # the files are those of `replace_file`, which needs no lock
                shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A new hidden directory beside `path`, for the holder of the lock; it is gone at the end, published or not."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish(temporary: Path, path: Path) -> None:
    """Give `temporary` its name, in place of a damaged bundle that may have it; to the disk first, then the name.

    Processes that have the damaged one mapped keep it.

    Raises:
        OSError: it could not be written.
    """
    for file in temporary.iterdir():
        sync(file)
    sync(temporary)
    if path.exists():
        with unfinished(path.with_name(f"{path.name}.damaged")) as damaged:
            path.rename(damaged)
            temporary.rename(path)
    else:
        temporary.rename(path)
    sync_name(path)


def identity(path: Path) -> int | None:
    """Tells one file or directory of a name from the next; None when there is none, or none that can be seen."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def require_space(directory: Path, needed: int) -> None:
    """Find out before minutes of copying whether `needed` bytes fit.

    Raises:
        OSError: ENOSPC, they do not.
    """
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes are needed and {free:,} are free", str(directory))

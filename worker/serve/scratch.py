"""A directory for one process, in the system's place for such; those that killed processes left there are removed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "clf-serve-"
_YOUNG_SECONDS = 60  # one that was made just now may not be locked yet


class ScratchError(Exception):
    """There is no place for it. The text says what to do."""


@contextmanager
def scratch_directory(now: float) -> Iterator[Path]:
    """A new one that only this user can enter, inside the `with` block. It is locked for as long as the process lives.

    Args:
        now: seconds since the Unix epoch.

    Raises:
        ScratchError: it cannot be made.
    """
    try:
        _remove_leftovers(Path(tempfile.gettempdir()), now)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise ScratchError(
            f"No temporary directory can be made: {error}. Set TMPDIR to one that can be used."
        ) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _remove_leftovers(place: Path, now: float) -> None:
    for path in place.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or no directory, or gone meanwhile
        try:
            found = os.fstat(lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody's, when this succeeds; not even in a container
            if found.st_uid == os.getuid() and now - found.st_mtime > _YOUNG_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)

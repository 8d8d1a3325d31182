"""Making what was written survive a power cut."""

import os
from contextlib import suppress
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the content of a file or directory is on the disk.

    Raises:
        OSError: it could not be written.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_name(path: Path) -> None:
    """Try to make the name of `path` last, after a rename that has succeeded already.

    A failure is not reported: the rename is done and visible, and to call it failed would be wrong.
    """
    with suppress(OSError):
        sync(path.parent)

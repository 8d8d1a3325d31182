"""Making what was written survive a power cut."""

import os
import secrets
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


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file in one step: synced under another name first, so that no reader meets half of it.

    Raises:
        OSError: it could not be written; what was there is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_name(path)

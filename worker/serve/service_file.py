"""`service.json`: which ports a process took, for whoever started it with port 0."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import orjson


def write_service_file(path: Path, ports: Mapping[str, str]) -> None:
    """Write name -> "host:port", with our pid, atomically: a reader sees the whole file or none.

    Raises:
        OSError: the directory cannot be written.
    """
    text = orjson.dumps({"pid": os.getpid(), "services": dict(ports)}, option=orjson.OPT_INDENT_2)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(text + b"\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # a temporary file is for its owner alone
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def remove_service_file(path: Path) -> None:
    """Remove the file when it is still ours: a stopped process has no ports, and a successor's file is its own."""
    try:
        if orjson.loads(path.read_bytes())["pid"] == os.getpid():
            path.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return  # it is gone, or somebody else wrote it

"""`service.json`: which ports a process took, for whoever started it with port 0."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import orjson

# What the services of a server are called, in its service file and in Consul.
GRPC, HEALTH = "clf-grpc", "clf-health"


class ServiceFileError(Exception):
    """The file tells nothing. The text says why."""


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


def read_service_file(path: Path) -> dict[str, str]:
    """Name -> "host:port" of a running process.

    Raises:
        ServiceFileError: there is no such file, it is none, or its process has ended.
    """
    try:
        content = orjson.loads(path.read_bytes())
        pid, ports = int(content["pid"]), {str(name): str(address) for name, address in content["services"].items()}
    except OSError as error:
        raise ServiceFileError(
            f"{path.absolute()} cannot be read: {error.strerror}. A running server writes it; if yours writes another, "
            "name that with --service-file."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceFileError(f"{path.absolute()} is no service file of clf.") from error
    if not Path(f"/proc/{pid}").exists():
        raise ServiceFileError(f"{path.absolute()} is left over: its process {pid} has ended. Start the server again.")
    return ports


def remove_service_file(path: Path) -> None:
    """Remove the file when it is still ours: a stopped process has no ports, and a successor's file is its own."""
    try:
        if orjson.loads(path.read_bytes())["pid"] == os.getpid():
            path.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return  # it is gone, or somebody else wrote it

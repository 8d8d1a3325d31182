"""`clf classify --grpc`: documents are classified by a `clf serve`."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from schemas.classification import Classification
from schemas.decoding import DecodeError
from schemas.document import Document
from worker.client import ClassifierClient, ClassifierError, Security, TargetError
from worker.commands.documents import BadLine, Line
from worker.config import SECONDS
from worker.options import FILE, option

# Calls under way at once: enough to keep a server busy, few enough not to be refused.
_AT_ONCE = 8

Score = Callable[[Sequence[tuple[Line, Document]]], list[Classification | BadLine]]


class RemoteError(Exception):
    """No server can be called. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The `clf serve` that classifies, if one does."""

    grpc: str = option(
        "",
        "Servers that classify: host:port, several with commas between, dns:///host:port, or "
        "consul://agent:8500/clf-grpc. [default: this process does]",
    )
    grpc_timeout: float = option(1.0, "Seconds that a call to them may take; crawlers use 0.1.", type=SECONDS)
    grpc_ca: Path | None = option(
        None, "Certificates in PEM that theirs must be from: calls are encrypted. [default: plain text]", type=FILE
    )
    grpc_cert: Path | None = option(None, "Our certificate in PEM, where they ask for one.", type=FILE)
    grpc_key: Path | None = option(None, "Its private key in PEM.", type=FILE)


@contextmanager
def remote_scoring(remote: Remote) -> Iterator[Score]:
    """Connect inside the `with` block, and classify there.

    Raises:
        RemoteError: the target or a file is wrong, or no server answers.
    """
    try:
        client = ClassifierClient(remote.grpc, timeout=remote.grpc_timeout, security=_security(remote))
    except (TargetError, OSError) as error:
        raise RemoteError(str(error)) from error
    with client, ThreadPoolExecutor(_AT_ONCE) as pool:
        if not client.ready:
            raise RemoteError(f"No server answers at {remote.grpc}. Does `clf serve` run there, with or without TLS?")

        def call(item: tuple[Line, Document]) -> Classification | BadLine:
            line, document = item
            try:
                return client.classify(document)
            except ClassifierError as error:
                return BadLine(line.file, line.number, error.code.name.lower(), error.detail)
            except DecodeError as error:  # what cannot be sent, or an answer of another version
                return BadLine(line.file, line.number, error.reason, error.detail)

        yield lambda batch: list(pool.map(call, batch))


def _security(remote: Remote) -> Security:
    if remote.grpc_ca is None:
        if remote.grpc_cert or remote.grpc_key:
            raise RemoteError("--grpc-cert and --grpc-key need --grpc-ca: without it calls are not encrypted.")
        return Security()
    roots, chain, key = (
        path.read_bytes() if path else b"" for path in (remote.grpc_ca, remote.grpc_cert, remote.grpc_key)
    )
    if bool(chain) is not bool(key):  # gRPC would abort the process
        raise RemoteError("--grpc-cert and --grpc-key go together, and neither file may be empty.")
    return Security(grpc.ssl_channel_credentials(roots, key or None, chain or None))

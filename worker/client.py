"""The Python client of the 100 ms path.

    from worker.client import ClassifierClient, ClassifierError, Document

    with ClassifierClient("consul://127.0.0.1:8500/clf-grpc") as client:
        try:
            result = client.classify(Document(url, title, text, lang="en"))
        except ClassifierError as error:
            ...  # error.code says whether the document or the fleet is to blame

Needs neither scikit-learn nor Kafka.
"""

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from schemas.classification import (
    Classification,
    ClassificationError,
    decode_classification,
    decode_classifications,
)
from schemas.document import Document, DocumentError, encode_documents
from schemas.headers import PROTOBUF
from worker.calling.addresses import AddressBook, Addresses, Lookup, TargetError, parse
from worker.calling.budget import Budget
from worker.calling.fleet import Fleet
from worker.calling.hedging import ClassifierError, HedgedCalls, Policy
from worker.calling.metrics import ClientMetrics
from worker.calling.server import PLAIN_TEXT, Security, Server, open_channel
from worker.clock import Clock, SystemClock

__all__ = [
    "Classification",
    "ClassificationError",
    "ClassifierClient",
    "ClassifierError",
    "Document",
    "DocumentError",
    "Security",
    "TargetError",
]

log = logging.getLogger(__name__)

# Of the calls, that share may make a further attempt in the long run, and that many at once.
_HEDGED_SHARE = 0.1
_HEDGED_BURST = 20.0


class ClassifierClient:
    """Calls `clf serve`: one call, up to four attempts on as many servers, the first answer wins.

    Threads may share it, and should: it keeps one connection per server. Make it after a fork, not before.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        timeout: float = 0.1,
        attempts: int = 4,
        hedge_after: float = 0.02,
        connect_timeout: float = 1.0,
        security: Security = PLAIN_TEXT,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Connect to all servers, and wait until one of them is ready, or `connect_timeout` is over.

        Args:
            targets: addresses "host:port" in a list or with commas between, "dns:///host:port", or
                "consul://agent:8500/clf-grpc" (with ?tag=... or &dc=... if need be).
            timeout: seconds that a call may take in all.
            attempts: that a call may make, the first included.
            hedge_after: seconds without an answer until the next attempt.
            connect_timeout: seconds to wait here, at most; calls before a connection wait for one as long as they may.
            security: `Security(grpc.ssl_channel_credentials(...))` for TLS.
            registry: for the client's metrics, of one client only; None keeps them to `client.registry`.

        Raises:
            TargetError: `targets` is written wrongly.
            ValueError: `timeout`, `attempts` or `hedge_after` is not positive.
        """
        found = parse(targets)
        policy = Policy(timeout, attempts, hedge_after)
        clock: Clock = SystemClock()
        self.registry = registry if registry is not None else CollectorRegistry()
        self._fleet = Fleet(
            lambda address, changed: Server(address, open_channel(address, security), clock, changed),
            clock,
            parting_seconds=timeout,
        )
        metrics = ClientMetrics(self.registry)
        metrics.watch(lambda: self._count(ready=True), lambda: self._count(ready=False))
        self._calls = HedgedCalls(self._fleet, policy, Budget(_HEDGED_SHARE, _HEDGED_BURST), metrics, clock)
        self._book = self._find(found)
        if not self._fleet.await_ready(connect_timeout):
            log.warning("no server is ready yet: %s", ", ".join(s.address for s in self._fleet.servers) or "none known")

    def classify(self, document: Document, timeout: float | None = None) -> Classification:
        """Classify one document.

        Args:
            document: its url must not be empty; its lang decides which model classifies it.
            timeout: seconds, when other than the client's.

        Returns:
            The result that a worker would publish, without `source`. Its status may be `unsupported_language` or
            `empty`: look at it before the labels.

        Raises:
            ClassifierError: no answer in time, or the document was refused. `code` tells: INVALID_ARGUMENT, do not try
                this document again; DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE or CANCELLED, send it through
                Kafka or try later; INTERNAL, a bug of the server.
            DocumentError: a field holds what UTF-8 cannot.
            ClassificationError: the answer is none that this version understands.
        """
        return decode_classification(self._calls.call("Classify", document.to_protobuf(), timeout), PROTOBUF)

    def classify_batch(self, documents: Sequence[Document], timeout: float | None = None) -> list[Classification]:
        """Classify a few documents (the server says how many at most, 64 by default) in one call.

        Returns:
            One classification per document, in their order.

        Raises:
            ClassifierError, DocumentError, ClassificationError: as `classify`, for all of them at once.
        """
        return decode_classifications(self._calls.call("ClassifyBatch", encode_documents(documents), timeout))

    @property
    def ready(self) -> bool:
        """Whether a server is connected and healthy."""
        return any(server.ready for server in self._fleet.servers)

    def close(self) -> None:
        """Disconnect; calls under way are cancelled."""
        if self._book is not None:
            self._book.close()
        self._fleet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(self, found: Addresses | Lookup) -> AddressBook | None:
        if isinstance(found, tuple):
            self._fleet.update(found)
            return None
        book = AddressBook(found, self._fleet.update)
        book.start()
        return book

    def _count(self, *, ready: bool) -> int:
        return sum(server.ready is ready for server in self._fleet.servers)

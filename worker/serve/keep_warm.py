"""Calls that a server makes to itself, so that the first call after a pause is not the one that comes late.

What a pause takes away: pages of the models, which other programs push out of memory; the interpreter's own code and
data, which leave the processor's caches; and whatever else is only slow the first time.
"""

import threading
from collections.abc import Callable, Mapping

import grpc
import structlog

from models.model import Model
from schemas.document import Document
from worker.clock import Clock
from worker.serve.grpc import SYNTHETIC_SERVICE

log = structlog.get_logger(__name__)

# Before the first caller: the interpreter settles (specialised code, caches of allocators), each thread has run.
START_ROUNDS = 50
_TIMEOUT = 5.0
_URL = "clf:keep-warm"


class KeepWarm:
    """Makes one synthetic call per language in each round, the whole way through gRPC, after touching the models."""

    def __init__(
        self,
        address: str,
        models: Callable[[], Mapping[str, Model]],
        kept_warm: Callable[[float | None], None],
        clock: Clock,
    ) -> None:
        """`models`, by language, are asked for in each round.

        `kept_warm` is told what each call took, None when it failed.
        """
        self._channel = grpc.insecure_channel(address)
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{SYNTHETIC_SERVICE}/Classify"
        )
        self._models = models
        self._kept_warm = kept_warm
        self._clock = clock
        self._failing = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def warm_up(self, rounds: int = START_ROUNDS) -> None:
        """Before the first caller comes."""
        for _ in range(rounds):
            self.round()

    def round(self) -> None:
        """Touch every model that serves and make every call once."""
        for lang, model in self._models().items():
            model.touch()
            self._synthetic(lang, Document(_URL, "", model.sample, lang).to_protobuf())

    def start(self, seconds: float) -> None:
        """Go on with a round every `seconds`, on a thread of its own."""
        self._thread = threading.Thread(target=self._repeat, args=(seconds,), name="keep-warm", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Make no more calls."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_TIMEOUT)
        self._channel.close()

    def _repeat(self, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            self.round()

    def _synthetic(self, lang: str, request: bytes) -> None:
        began = self._clock.monotonic()
        try:
            self._call(request, timeout=_TIMEOUT)
        except grpc.RpcError as error:
            self._kept_warm(None)
            if not self._failing:
                log.warning("keep_warm_failed", lang=lang, code=str(error.code()), detail=error.details())
            self._failing = True
        else:
            self._kept_warm(self._clock.monotonic() - began)
            self._failing = False

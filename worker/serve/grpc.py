"""The service `clf.v1.Classifier` on gRPC: who gets an answer, and with which status code the others go away."""

import secrets
from collections.abc import Callable, Iterator

import grpc

from schemas import classifier_pb2
from worker.serve.answers import Answer, Answered, Answers, CannotAnswerError, Fault
from worker.serve.calls import Call, CallPool
from worker.serve.patience import Patience

SERVICE = classifier_pb2.DESCRIPTOR.services_by_name["Classifier"].full_name
# The same calls under a name that only this process knows, for its own: they pass by the limit and the books.
SYNTHETIC_SERVICE = f"{SERVICE}.{secrets.token_hex(16)}"
METHODS = ("Classify", "ClassifyBatch")
# Trailing metadata that says what an answer lacks. It is the status message too, but gRPC's own clients (Python, C++)
# drop that of a status that is OK.
REMARK = "clf-remark"

_CODES = {Fault.REQUEST: grpc.StatusCode.INVALID_ARGUMENT, Fault.SCORING: grpc.StatusCode.INTERNAL}
# A large message takes at least that long; articles of 3 kB, measured, twice.
_SECONDS_PER_BYTE = 1 / 200e6

Listener = Callable[[str, Answered, float], None]
Behaviour = Callable[[Iterator[bytes], grpc.ServicerContext], bytes]
Around = Callable[[Behaviour, str, CallPool], Behaviour]
"""Puts something around how a method behaves, such as a span."""


def _nothing_around(behaviour: Behaviour, method: str, pool: CallPool) -> Behaviour:
    del method, pool
    return behaviour


class Servicer:
    """Takes and gives bytes, so that a message that is none is refused with our code and words, not with gRPC's."""

    def __init__(
        self,
        answers: Answers,
        pool: CallPool,
        min_seconds_left: float,
        listener: Listener,
        patience: Patience,
        around: Around = _nothing_around,
    ) -> None:
        """Refuse callers who wait for less than `min_seconds_left` more; tell `listener` of each answer in the books.

        The listener gets the method's name, the answer, and the seconds since the call came.
        """
        self._answers = {"Classify": answers.classify, "ClassifyBatch": answers.classify_batch}
        self._pool = pool
        self._min_seconds_left = min_seconds_left
        self._listener = listener
        self._patience = patience
        self._around = around

    def add_to(self, server: grpc.Server) -> None:
        """Let `server` answer the methods; gRPC's core finds registered ones quicker than others."""
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            # For a stream of requests, which is the same on the wire: so it begins before the request is there.
            name: grpc.stream_unary_rpc_method_handler(
                self._around(self._behaviour(self._answers[name]), name, self._pool)
            )
            for name in METHODS
        }
        for service in (SERVICE, SYNTHETIC_SERVICE):
            server.add_registered_method_handlers(service, methods)

    def _behaviour(self, answer: Answer) -> Behaviour:
        def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            call = self._pool.current
            call.seconds_left = context.time_remaining()
            self._refuse_hopeless(call, context, call.seconds_left, 0)
            request = self._patience.await_request(requests, context)
            if request is None:
                # Mostly the caller has gone, which grpcio tells a little later. So it stays CANCELLED in the books.
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
            call.code = grpc.StatusCode.UNKNOWN  # what a bug in here would give the caller
            self._refuse_hopeless(call, context, context.time_remaining(), len(request))
            try:
                answered = answer(request)
            except CannotAnswerError as error:
                call.code = _CODES[error.fault]
                context.abort(call.code, str(error))
            if call.method is not None:
                self._listener(call.method, answered, self._pool.age(call))
            if answered.remark:
                context.set_details(answered.remark)
                context.set_trailing_metadata(((REMARK, answered.remark),))
            call.code = grpc.StatusCode.OK
            return answered.reply

        return behave

    def _refuse_hopeless(self, call: Call, context: grpc.ServicerContext, left: float, message_bytes: int) -> None:
        needed = self._min_seconds_left + message_bytes * _SECONDS_PER_BYTE
        if left < needed:
            call.code = grpc.StatusCode.DEADLINE_EXCEEDED
            sentence = f"{max(0.0, left) * 1000:.1f} ms were left, an answer needs {needed * 1000:.1f} ms; not begun"
            context.abort(call.code, sentence)
        if not context.is_active():
            call.code = grpc.StatusCode.CANCELLED
            context.abort(call.code, "nobody waits for the answer any more; not begun")

"""The servicer: who gets an answer, and with which status code and sentence the others go away."""

from types import SimpleNamespace
from typing import cast

import grpc
import pytest

from schemas import classifier_pb2
from schemas.document import Document
from worker.classify import ConstantClassifier
from worker.serve.answers import Answered, Answers, CannotAnswerError, Fault
from worker.serve.calls import CODE_NAMES, Call, CallPool
from worker.serve.grpc import METHODS, SERVICE, SYNTHETIC_SERVICE, Servicer
from worker.serve.patience import Patience
from worker.tests.fakes import ManualClock
from worker.tests.grpc_fakes import AbortError, FakeContext

DOCUMENT = Document("u", "", "text", "en")
REQUEST = DOCUMENT.to_protobuf()
AGE = 1.5


class FixedAnswers:
    """Answers every request alike, or fails as the test says; notes what it was asked."""

    def __init__(self, outcome: Answered | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, bytes]] = []

    def classify(self, request: bytes) -> Answered:
        """Answer."""
        return self._answer("classify", request)

    def classify_batch(self, request: bytes) -> Answered:
        """Answer."""
        return self._answer("classify_batch", request)

    def _answer(self, method: str, request: bytes) -> Answered:
        self.asked.append((method, request))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


ANSWERED = Answered(b"reply", "", (DOCUMENT,), ())


class Scene:
    """A servicer of some answers, called as grpcio calls it, for one call at a time."""

    def __init__(self, outcome: Answered | Exception = ANSWERED, min_seconds_left: float = 0.002) -> None:
        self.answers = FixedAnswers(outcome)
        self.call = Call("Classify", 0.0)
        self.told: list[tuple[str, Answered, float]] = []
        self.fails: Exception | None = None
        pool = SimpleNamespace(current=self.call, age=lambda call: AGE if call is self.call else None)
        self.patience = Patience(ManualClock(), lambda: False)
        answers, books = cast("Answers", self.answers), cast("CallPool", pool)
        self.servicer = Servicer(answers, books, min_seconds_left, self._listen, self.patience)
        self.handlers: dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = {}
        self.servicer.add_to(cast("grpc.Server", SimpleNamespace(add_registered_method_handlers=self._register)))

    def ask(
        self, context: FakeContext, request: bytes = REQUEST, service: str = SERVICE, method: str = "Classify"
    ) -> bytes:
        """What is sent back."""
        handler = self.handlers[service][method]
        assert handler.stream_unary is not None
        return handler.stream_unary(iter([request]), context.as_context())

    def refusal(self, context: FakeContext, request: bytes = REQUEST) -> tuple[grpc.StatusCode, str]:
        """With which code and sentence the caller goes away."""
        with pytest.raises(AbortError):
            self.ask(context, request)
        assert context.aborted is not None
        assert self.told == []
        return context.aborted

    def _register(self, service: str, handlers: "dict[str, grpc.RpcMethodHandler[bytes, bytes]]") -> None:
        self.handlers[service] = handlers

    def _listen(self, method: str, answered: Answered, seconds: float) -> None:
        if self.fails is not None:
            raise self.fails
        self.told.append((method, answered, seconds))


# --- answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "asked"), [("Classify", "classify"), ("ClassifyBatch", "classify_batch")])
def test_each_method_asks_its_own_answers(method: str, asked: str) -> None:
    """The request's bytes go in and the reply's bytes come out; the listener hears of it, the call's code is OK."""
    scene, context = Scene(), FakeContext(seconds_left=0.08)
    scene.call.method = method
    assert scene.ask(context, method=method) == b"reply"
    assert scene.answers.asked == [(asked, REQUEST)]
    assert scene.told == [(method, ANSWERED, AGE)]
    assert (scene.call.code, scene.call.seconds_left) == (grpc.StatusCode.OK, 0.08)
    assert (context.aborted, context.details, context.trailers) == (None, "", ())


def test_a_remark_goes_with_the_answer() -> None:
    """The status is OK; the remark is its message, and metadata for clients that drop the message of what is OK."""
    scene, context = Scene(ANSWERED._replace(remark="no model for tlh")), FakeContext()
    assert scene.ask(context) == b"reply"
    assert context.details == "no model for tlh"
    assert context.trailers == (("clf-remark", "no model for tlh"),)


def test_a_call_without_a_deadline_is_answered() -> None:
    """Whoever waits for ever is not in a hurry."""
    scene = Scene()
    assert scene.ask(FakeContext(seconds_left=float("inf"))) == b"reply"
    assert scene.call.seconds_left == float("inf")


def test_synthetic_calls_are_answered_and_not_told_of() -> None:
    """They take the same way, under a name of their own, and no listener counts or logs them."""
    scene = Scene()
    scene.call.method = None
    assert scene.ask(FakeContext(), service=SYNTHETIC_SERVICE) == b"reply"
    assert (scene.told, scene.call.code) == ([], grpc.StatusCode.OK)


# --- those who go away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        (0.0012, "1.2 ms were left, an answer needs 2.0 ms; not begun"),
        (0.0, "0.0 ms were left, an answer needs 2.0 ms; not begun"),
        (-3.0, "0.0 ms were left, an answer needs 2.0 ms; not begun"),
    ],
)
def test_a_hopeless_call_is_not_begun(left: float, sentence: str) -> None:
    """Who cannot be answered in time is told so, with the numbers, and nothing is computed."""
    scene = Scene()
    assert scene.refusal(FakeContext(seconds_left=left)) == (grpc.StatusCode.DEADLINE_EXCEEDED, sentence)
    assert scene.answers.asked == []
    assert scene.call.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert scene.call.seconds_left == left


def test_a_large_message_needs_more_time() -> None:
    """What is enough for a page is not enough for four megabytes."""
    large = bytes(4_000_000)
    scene = Scene()
    assert scene.refusal(FakeContext(seconds_left=0.0219), large) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "21.9 ms were left, an answer needs 22.0 ms; not begun",
    )
    assert Scene().ask(FakeContext(seconds_left=0.0221), large) == b"reply"


def test_no_time_need_be_left_if_so_configured() -> None:
    """A least time of 0 refuses only those whose time is over."""
    assert Scene(min_seconds_left=0.0).ask(FakeContext(seconds_left=1e-6)) == b"reply"
    assert Scene(min_seconds_left=0.0).refusal(FakeContext(seconds_left=0.0))[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_abandoned_call_is_not_begun() -> None:
    """Nothing is computed for a caller who has left."""
    scene = Scene()
    code, sentence = scene.refusal(FakeContext(active=False))
    assert (code, scene.call.code) == (grpc.StatusCode.CANCELLED, grpc.StatusCode.CANCELLED)
    assert sentence == "nobody waits for the answer any more; not begun"
    assert scene.answers.asked == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Fault.REQUEST, grpc.StatusCode.INVALID_ARGUMENT), (Fault.SCORING, grpc.StatusCode.INTERNAL)],
)
def test_whose_fault_it_is_makes_the_code(fault: Fault, code: grpc.StatusCode) -> None:
    """The caller's own faults are INVALID_ARGUMENT, ours are INTERNAL; the sentence is that of the answers."""
    scene = Scene(CannotAnswerError(fault, "why"))
    assert scene.refusal(FakeContext()) == (code, "why")
    assert scene.call.code is code


def test_every_fault_has_a_code() -> None:
    """And every code a name in the books."""
    for fault in Fault:
        scene = Scene(CannotAnswerError(fault, "why"))
        assert scene.refusal(FakeContext())[0] in CODE_NAMES


@pytest.mark.parametrize("in_listener", [False, True])
def test_a_bug_is_what_the_caller_sees(in_listener: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An error that nobody expects goes through to grpcio, which says UNKNOWN; so do the books, never OK."""
    scene = Scene() if in_listener else Scene(RuntimeError())
    scene.fails = RuntimeError() if in_listener else None
    with pytest.raises(RuntimeError):
        scene.ask(FakeContext())
    assert scene.call.code is grpc.StatusCode.UNKNOWN


# --- the service ---------------------------------------------------------------------------------------------


def test_the_service_is_that_of_the_proto_file() -> None:
    """It has the methods of the .proto file, all of them, as plain calls of bytes."""
    descriptor = classifier_pb2.DESCRIPTOR.services_by_name["Classifier"]
    assert descriptor.full_name == SERVICE
    assert [method.name for method in descriptor.methods] == list(METHODS)
    handlers = Scene().handlers
    assert {service: set(methods) for service, methods in handlers.items()} == {
        SERVICE: set(METHODS),
        SYNTHETIC_SERVICE: set(METHODS),
    }
    for handler in handlers[SERVICE].values():
        assert not handler.response_streaming
        assert (handler.request_deserializer, handler.response_serializer) == (None, None)


def test_nobody_guesses_the_synthetic_name() -> None:
    """Calls under it pass by the limit and the books, so it must not be in the source."""
    assert SYNTHETIC_SERVICE.startswith(f"{SERVICE}.")
    assert len(SYNTHETIC_SERVICE.removeprefix(f"{SERVICE}.")) == 32


def test_real_answers_fit_in() -> None:
    """The classes that are put together in the program understand each other."""
    scene = Scene()
    scene.servicer._answers["Classify"] = Answers(ConstantClassifier, 1000, 3).classify
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    scene.servicer.add_to(
        cast("grpc.Server", SimpleNamespace(add_registered_method_handlers=lambda _, found: handlers.update(found)))
    )
    behave = handlers["Classify"].stream_unary
    assert behave is not None
    assert classifier_pb2.Classification.FromString(behave(iter([REQUEST]), FakeContext().as_context())).url == "u"


def test_a_call_without_a_request() -> None:
    """The caller is told, if it is still there; in the books it counts as abandoned, which it mostly is."""
    scene, context = Scene(), FakeContext()
    handler = scene.handlers[SERVICE]["Classify"].stream_unary
    assert handler is not None
    with pytest.raises(AbortError):
        handler(iter([]), context.as_context())
    assert context.aborted == (grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
    assert scene.call.code is grpc.StatusCode.CANCELLED

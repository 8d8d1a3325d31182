"""`clf serve` as callers see it: the worker's results, or a status code and a sentence to act on."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from integration_tests.plain_calls import SERVICE, Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import System, wait_until
from schemas import classifier_pb2
from schemas.classification import Status, decode_classification, decode_classifications
from schemas.document import Document, encode_documents
from schemas.headers import PROTOBUF
from worker.tests.tools import clf, small_store

SERVING = health_pb2.HealthCheckResponse.SERVING
FOOTBALL = Document("https://a.example/1", "Football", "secret goal", "en")
MONEY = Document("https://a.example/2", "", "money in the bank", "en-GB")
KLINGON = Document("https://a.example/3", "", "goal", "tlh")
NOTHING = Document("https://a.example/4", "", "words it never saw", "eng")
REQUEST = FOOTBALL.to_protobuf()
NO_MODEL = "no model for the language {}; there are models for en"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small English model."""
    return small_store(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server with small limits on messages, that logs requests; tests leave it as they found it."""
    options = ["--models", str(store), "--max-message-bytes", "1000", "--max-batch", "3", "--request-log", "requests"]
    with ServeProcess(tmp_path_factory.mktemp("serve"), options) as process:
        yield process


@pytest.fixture
def caller(server: ServeProcess) -> Iterator[Caller]:
    """A connection to that server."""
    with Caller(server.grpc) as made:
        yield made


@pytest.fixture(scope="module")
def narrow(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that has one call in hand at most, and takes half a minute for an answer, or so it thinks."""
    options = ["--models", str(store), "--threads", "1", "--max-calls", "1", "--min-time-left", "30"]
    with ServeProcess(tmp_path_factory.mktemp("narrow"), options) as process:
        yield process


# --- answers -------------------------------------------------------------------------------------------------


@pytest.mark.broker
def test_kafka_and_grpc_give_the_same_bytes(
    system: System, model_store: Path, sample: list[Document], tmp_path: Path
) -> None:
    """With one model store, every document gets the same result through Kafka, alone and in a batch, to the byte."""
    odd = [
        Document("https://odd.example/unsupported", "", sample[0].text, "tlh"),
        Document("https://odd.example/undetermined", "", sample[0].text, ""),
        Document("https://odd.example/empty", "", "", "en"),
        Document("https://odd.example/unknown", "", "\u2603\u2603", "de-AT"),
        Document("https://odd.example/\u00fcber?\x00", "\u2028", sample[1].text.upper(), "EN-us,de"),
    ]
    documents = system.send([*(d._replace(url=f"https://x/{n}") for n, d in enumerate(sample)), *odd])
    options = ["--models", str(model_store)]
    with (
        system.worker(*options) as worker,
        ServeProcess(tmp_path / "serve", options) as server,
        Caller(server.grpc) as caller,
    ):
        alone = [decode_classification(caller.call(d.to_protobuf()).reply, PROTOBUF) for d in documents]
        batches = [documents[start : start + 60] for start in range(0, len(documents), 60)]
        replies = [caller.call(encode_documents(batch), "ClassifyBatch").reply for batch in batches]
        system.await_settled(len(documents))
        assert worker.terminate() == 0
    published = [decode_classification(record.value or b"") for record in system.results()]
    through_kafka = {result.url: result._replace(source=None).to_json() for result in published}
    assert {result.url: result.to_json() for result in alone} == through_kafka
    assert [result for reply in replies for result in decode_classifications(reply)] == alone
    assert len(through_kafka) == len(documents)
    assert {result.status for result in alone} == set(Status)
    assert {result.lang for result in alone if result.labels} == {"de", "en", "es"}


def test_the_command_line_gives_the_same_lines(server: ServeProcess, store: Path) -> None:
    """`clf classify --grpc` writes the bytes that `clf classify` does."""
    lines = b"".join(d.to_json() + b"\n" for d in [FOOTBALL, MONEY, KLINGON, NOTHING] * 50)
    here = clf("classify", "--models", store, given=lines)
    there = clf("classify", "--grpc", server.grpc, "--grpc-timeout", "20", given=lines)
    assert (there.exit_code, there.stdout_bytes, there.stderr) == (0, here.stdout_bytes, "")
    assert here.stdout_bytes.count(b"\n") == 200


def test_generated_messages(caller: Caller) -> None:
    """Whoever has nothing but the .proto file gets along."""
    found = caller.classify(classifier_pb2.Document(url="u", text="goal", lang="eng"))
    assert (found.url, found.lang, found.status) == ("u", "en", classifier_pb2.STATUS_CLASSIFIED)
    assert list(found.labels) == ["sport"]
    assert not found.HasField("source")


def test_an_unknown_language_is_an_answer(caller: Caller) -> None:
    """The code is OK, the result says what is the matter, and the trailer names the languages there are."""
    for document, lang in ((KLINGON, "tlh"), (Document("u", "", "goal"), "und")):
        outcome = caller.call(document.to_protobuf())
        result = decode_classification(outcome.reply, PROTOBUF)
        assert (outcome.code, result.status, result.lang) == (grpc.StatusCode.OK, Status.UNSUPPORTED_LANGUAGE, lang)
        assert outcome.trailers["clf-remark"] == NO_MODEL.format(lang)


@pytest.mark.parametrize("text", ["", "words it never saw"])
def test_a_text_without_known_terms_is_an_answer(caller: Caller, text: str) -> None:
    """The same for a text that is empty, or might as well be."""
    outcome = caller.call(Document("u", "", text, "en").to_protobuf())
    assert decode_classification(outcome.reply, PROTOBUF).status is Status.EMPTY
    assert outcome.trailers["clf-remark"] == "the model for en knows no term of the document"


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "message"),
    [
        (b"", 'url_missing: the field "url" is empty'),
        (Document(" \t", "", "goal", "en").to_protobuf(), 'url_missing: the field "url" is empty'),
        (bytes(1001), "too_large: the value has 1001 bytes, the limit is 1000"),
        (b"\x0a\x01u\x1a\x02\xff\xfe", "not_protobuf: the value is no clf.v1.Document: a string is not UTF-8"),
        (b'{"url": "u"}', "not_protobuf: the value is no clf.v1.Document: it is truncated, or of another format"),
    ],
)
def test_a_request_that_is_no_document(caller: Caller, request_bytes: bytes, message: str) -> None:
    """It is refused with a reason and a sentence, neither of which repeats anything of it."""
    assert caller.call(request_bytes)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("request_bytes", "message"),
    [
        (encode_documents([FOOTBALL] * 4), "too_large: the batch has 4 documents, the limit is 3"),
        (encode_documents([MONEY, Document("")]), 'url_missing: document 1: the field "url" is empty'),
        (REQUEST, "not_protobuf: the value is no clf.v1.ClassifyBatchRequest: it is truncated, or of another format"),
    ],
)
def test_a_request_that_is_no_batch(caller: Caller, request_bytes: bytes, message: str) -> None:
    """The same for batches; none of the documents is classified."""
    assert caller.call(request_bytes, "ClassifyBatch")[:2] == (grpc.StatusCode.INVALID_ARGUMENT, message)


def test_a_message_that_is_far_too_large(caller: Caller) -> None:
    """Beyond four times the limit gRPC refuses it unread, in its own words; the connection lives on."""
    for _ in range(2):
        code, message, *_ = caller.call(bytes(4001))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max (4001 vs. 4000)" in message
    assert caller.call(REQUEST).code is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("service", "method"),
    [(SERVICE, "Explain"), (f"{SERVICE}.Synthetic", "Classify"), ("clf.v2.Classifier", "Classify")],
)
def test_a_method_that_is_not_there(caller: Caller, service: str, method: str) -> None:
    """It is UNIMPLEMENTED, as everywhere."""
    assert caller.call(REQUEST, method, service=service).code is grpc.StatusCode.UNIMPLEMENTED


def test_a_hopeless_call_is_refused_at_once(narrow: ServeProcess) -> None:
    """Who waits for less time than an answer takes is told so; who waits for ever gets one."""
    with Caller(narrow.grpc) as caller:
        code, message, *_ = caller.call(REQUEST, timeout=20)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert message.endswith("ms were left, an answer needs 30000.0 ms; not begun")
        assert 15_000 < float(message.partition(" ms")[0]) <= 20_000
        assert caller.call(REQUEST, timeout=None).code is grpc.StatusCode.OK
    wait_until(lambda: narrow.metric('clf_refused_calls_total{reason="too_little_time"}') >= 1, "it is counted")
    assert narrow.metric("clf_time_left_seconds_count") == 1, "a call without a deadline has no time left"


def test_one_call_too_many_is_refused_at_once(narrow: ServeProcess) -> None:
    """It does not wait for those in hand, and while it is refused, health checks and metrics are answered."""
    refused = narrow.metric('clf_refused_calls_total{reason="too_many_calls"}')
    with Caller(narrow.grpc) as caller:
        held = caller.hold(REQUEST, timeout=None)
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 1, "the call is in hand")
        outcomes = [caller.call(REQUEST, method) for method in ("Classify", "ClassifyBatch") for _ in range(50)]
        assert {outcome.code for outcome in outcomes} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert "calls are in hand here already: try another server, or later" in outcomes[0].message
        assert caller.check(SERVICE) == SERVING
        held.release()
        assert held.outcome().code is grpc.StatusCode.OK
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 0, "nothing is in hand")
        assert caller.call(REQUEST, timeout=None).code is grpc.StatusCode.OK
    assert narrow.metric('clf_refused_calls_total{reason="too_many_calls"}') == refused + 100


def test_a_request_that_never_comes(narrow: ServeProcess) -> None:
    """A caller without a deadline who sends none loses its place after some seconds, and others are answered again."""
    with Caller(narrow.grpc) as caller:
        held = caller.hold(REQUEST, timeout=None)
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 1, "the call is in hand")
        assert caller.call(REQUEST).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert held.outcome().code is grpc.StatusCode.CANCELLED
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 0, "nothing is in hand")
        assert caller.call(REQUEST, timeout=None).code is grpc.StatusCode.OK


def test_abandoned_calls_leave_at_once(narrow: ServeProcess) -> None:
    """A caller who leaves frees the place and the thread; one without time is refused before its request is there."""
    refused = 'clf_refused_calls_total{reason="%s"}'
    abandoned, hopeless = (narrow.metric(refused % reason) for reason in ("abandoned", "too_little_time"))
    with Caller(narrow.grpc) as caller:
        held = caller.hold(REQUEST, timeout=None)
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 1, "the call is in hand")
        held.cancel()
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 0, "nothing is in hand")
        outcome = caller.hold(REQUEST, timeout=20).outcome()
        assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "an answer needs 30000.0 ms; not begun" in outcome.message
        wait_until(lambda: narrow.metric("clf_calls_in_hand") == 0, "nothing is in hand")
        assert caller.call(REQUEST, timeout=None).code is grpc.StatusCode.OK
    assert narrow.metric(refused % "abandoned") == abandoned + 1
    assert narrow.metric(refused % "too_little_time") == hopeless + 1

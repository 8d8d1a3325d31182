"""Records to outcomes: what becomes of every kind of record."""

from collections.abc import Sequence

import orjson
import pytest

from schemas.classification import (
    Classification,
    ClassProbability,
    ModelStamp,
    Source,
    Status,
    decode_classification,
)
from schemas.dead_letter import DeadLetter, Headers, Reason, Stage
from schemas.decoding import DecodeError, DecodeReason
from schemas.document import Document
from schemas.document_reader import DocumentReader
from schemas.framing import SchemaKey
from worker.classify import ConstantClassifier, DocumentClassifier, Sources
from worker.stream.errors import FatalError
from worker.stream.policy import OnFailure, Policy
from worker.stream.processor import Destination, Processor
from worker.stream.records import Outcome, Outgoing, Record, TopicPartition
from worker.tests.fakes import P0, P1, ManualClock, NotingObserver

DESTINATION = Destination("results", "dead", dead_letter_partitions=lambda: 2)
LENIENT: Policy = {Stage.DECODE: OnFailure.DEAD_LETTER, Stage.SCORE: OnFailure.DEAD_LETTER}
STAMP = ModelStamp("en", "v1", "d" * 16)
PROTOBUF: Headers = (("content-type", b"application/x-protobuf"),)


class WordClassifier:
    """Labels English documents with their text; fails on the text `bomb`, and gives `nan` no number."""

    languages = ("en",)

    def __init__(self, stamp: ModelStamp = STAMP) -> None:
        self.calls: list[int] = []
        self._stamp = stamp

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """One classification per document."""
        self.calls.append(len(documents))
        return [self._one(document, source) for document, source in zip(documents, sources, strict=True)]

    def _one(self, document: Document, source: Source | None) -> Classification:
        if document.text == "bomb":
            raise RuntimeError("secret page content")
        url, lang = document.url, document.language
        if lang != "en":
            return Classification(url, lang, Status.UNSUPPORTED_LANGUAGE, (), (), None, source)
        if not document.text:
            return Classification(url, lang, Status.EMPTY, (), (), self._stamp, source)
        prob = float("nan") if document.text == "nan" else 0.75
        classes = (ClassProbability(document.text, prob),)
        return Classification(url, lang, Status.CLASSIFIED, (document.text,), classes, self._stamp, source)


def processor(
    classifier: DocumentClassifier | None = None, policy: Policy = LENIENT, observer: NotingObserver | None = None
) -> Processor:
    """A processor that takes documents of up to 1,000 bytes, and knows one schema, of Avro."""

    def schema_type(key: SchemaKey) -> str:
        if key == 2:
            return "AVRO"
        raise DecodeError(DecodeReason.UNKNOWN_SCHEMA, "none")

    given, read = classifier or WordClassifier(), DocumentReader(1000, schema_type=schema_type)
    return Processor(lambda: given, DESTINATION, policy, observer or NotingObserver(), ManualClock(), read)


def raw(
    offset: int, value: bytes | None, *, key: bytes | None = b"k", headers: Headers = (), source: TopicPartition = P0
) -> Record:
    """A record with these bytes."""
    return Record(source, offset, 1_000, key, value, headers)


def page(offset: int, text: str, *, lang: str = "en", headers: Headers = (), source: TopicPartition = P0) -> Record:
    """A record with a good document."""
    value = Document(f"https://site.example/{offset}", "", text, lang).to_json()
    return raw(offset, value, headers=headers, source=source)


def only(outcome: Outcome) -> Outgoing:
    """What the one record became."""
    [part] = outcome.parts.values()
    [outgoing] = part.outgoing
    return outgoing


def letter(outgoing: Outgoing) -> DeadLetter:
    """A dead letter, as its reader sees it."""
    assert outgoing.topic == "dead"
    return DeadLetter.from_record(outgoing.key, outgoing.value, outgoing.headers)


# --- results -------------------------------------------------------------------------------------------------


def test_a_document_becomes_a_result() -> None:
    """The result is keyed by the url, goes to the document's partition, and says where it came from."""
    outcome = processor()([page(7, "sport", source=P1)])
    sent = only(outcome)
    assert (sent.topic, sent.partition, sent.key, sent.headers) == ("results", 1, b"https://site.example/7", ())
    result = decode_classification(sent.value or b"")
    assert (result.status, result.labels, result.model) == (Status.CLASSIFIED, ("sport",), STAMP)
    assert result.source == Source("documents", 1, 7)
    part = outcome.parts[P1]
    assert (part.next_offset, part.timestamps_ms) == (8, [1_000])
    assert (dict(part.outcomes), dict(part.predictions)) == ({"classified": 1}, {("en", "sport"): 1})


def test_a_batch_is_scored_by_the_models_of_its_beginning() -> None:
    """New ones begin with the next batch, also where a document that fails makes the others go one by one."""
    later = ModelStamp("en", "v2", "e" * 16)
    given = [WordClassifier(), WordClassifier(later)]
    process = Processor(
        lambda: given.pop(0), DESTINATION, LENIENT, NotingObserver(), ManualClock(), DocumentReader(1000)
    )
    stamps = []
    for first in (0, 3):
        outcome = process([page(first, "sport"), page(first + 1, "bomb"), page(first + 2, "art", source=P1)])
        results = [item for part in outcome.parts.values() for item in part.outgoing if item.topic == "results"]
        stamps.append([decode_classification(item.value or b"").model for item in results])
    assert stamps == [[STAMP, STAMP], [later, later]]


@pytest.mark.parametrize(
    ("record", "status"),
    [(page(0, "text", lang="tlh"), Status.UNSUPPORTED_LANGUAGE), (page(0, ""), Status.EMPTY)],
    ids=["unsupported", "empty"],
)
def test_documents_without_classes(record: Record, status: Status) -> None:
    """A language without a model and a text without a known term are results, not failures."""
    outcome = processor()([record])
    assert decode_classification(only(outcome).value or b"").status is status
    assert dict(outcome.parts[P0].outcomes) == {status: 1}
    assert (outcome.dead_letters, dict(outcome.parts[P0].predictions)) == (0, {})


def test_a_tombstone_stays_one() -> None:
    """A null value becomes a null result with the same key, in the same partition, that names its document."""
    classifier = WordClassifier()
    outcome = processor(classifier)([raw(3, None, key=b"gone", headers=(("trace", b"1"),), source=P1)])
    assert only(outcome) == Outgoing("results", 1, b"gone", None, (("trace", b"1"), ("clf-source", b"documents/1/3")))
    assert dict(outcome.parts[P1].outcomes) == {"tombstone": 1}
    assert sum(classifier.calls) == 0


@pytest.mark.parametrize("content_type", [b"application/x-protobuf", b"Application/X-Protobuf; v=1"])
def test_protobuf_documents(content_type: bytes) -> None:
    """The header tells the encoding; the result is JSON, and its header says so."""
    value = Document("u", "", "sport", "en").to_protobuf()
    sent = only(processor()([raw(0, value, headers=(("Content-Type", content_type), ("trace", b"7")))]))
    assert orjson.loads(sent.value or b"")["labels"] == ["sport"]
    assert sent.headers == (("Content-Type", b"application/json"), ("trace", b"7"))


def test_the_last_content_type_counts() -> None:
    """Of a repeated header the last one decides, as everywhere in Kafka."""
    headers = (("content-type", b"image/png"), ("content-type", b"application/json"))
    assert only(processor()([page(0, "sport", headers=headers)])).topic == "results"


def test_headers_pass_through() -> None:
    """Repeated names, null values and look-alikes of ours pass untouched; no header is added."""
    headers: Headers = (("a", b"1"), ("a", None), ("clf-reason", b"mine"), ("content-type", b"application/json"))
    assert only(processor()([page(0, "sport", headers=headers)])).headers == headers


# --- dead letters ------------------------------------------------------------------------------------------------

BAD: dict[Reason, Record] = {
    Reason.NOT_UTF8: raw(0, b'{"url": "\xff"}'),
    Reason.NOT_JSON: raw(0, b"{half"),
    Reason.NOT_PROTOBUF: raw(0, b"\xff\xff", headers=PROTOBUF),
    Reason.NOT_AN_OBJECT: raw(0, b"[1]"),
    Reason.URL_MISSING: raw(0, b'{"text": "no url"}'),
    Reason.WRONG_TYPE: raw(0, b'{"url": "u", "text": 7}'),
    Reason.TOO_LARGE: raw(0, b'{"url": "u", "text": "' + b"x" * 1000 + b'"}'),
    Reason.UNKNOWN_CONTENT_TYPE: raw(0, b"{}", headers=(("content-type", b"image/png"),)),
    Reason.BAD_FRAME: raw(0, b"\0\0"),
    Reason.UNKNOWN_SCHEMA: raw(0, b"\0\0\0\0\1{}"),
    Reason.WRONG_SCHEMA: raw(0, b"\0\0\0\0\2{}"),
    Reason.SCORE_FAILED: page(0, "bomb"),
}


def test_every_reason_is_tried() -> None:
    """The table above has a record for every reason there is."""
    assert set(BAD) == set(Reason) - {Reason.KILLED_WORKER}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_record_becomes_a_dead_letter(reason: Reason) -> None:
    """Key, value and headers leave untouched, with stage, reason and source; its offset is settled."""
    record = BAD[reason]
    outcome = processor()([record])
    found = letter(only(outcome))
    assert (found.key, found.value, found.headers) == (record.key, record.value, record.headers)
    stage = Stage.SCORE if reason is Reason.SCORE_FAILED else Stage.DECODE
    assert (found.stage, found.reason, found.attempts) == (stage, reason, 1)
    assert found.source == Source("documents", 0, 0)
    part = outcome.parts[P0]
    assert (part.next_offset, dict(part.outcomes), dict(part.dead_letters)) == (1, {"dead_letter": 1}, {reason: 1})
    assert "secret" not in found.detail


@pytest.mark.parametrize("record", [*BAD.values(), page(0, "a"), raw(0, None)])
def test_a_record_that_took_workers_down(record: Record) -> None:
    """It leaves untouched and unread, with the deaths as its attempts; those of an earlier replay count on."""
    for earlier, attempts in ((), 3), ((("clf-attempts", b"4"),), 7):
        given = record._replace(headers=(*record.headers, *earlier))
        outcome = processor().condemned(given, 3)
        found = letter(only(outcome))
        assert (found.key, found.value) == (given.key, given.value)
        assert (found.stage, found.reason, found.attempts) == (Stage.SCORE, Reason.KILLED_WORKER, attempts)
        assert found.detail.startswith("3 workers died with this document alone in hand")
        assert (outcome.offsets, outcome.dead_letters) == ({P0: 1}, 1)


def test_the_policy_of_scoring_holds_for_it_too() -> None:
    """Whoever wants to be stopped by a document is stopped, with its place."""
    failing: Policy = {**LENIENT, Stage.SCORE: OnFailure.FAIL}
    with pytest.raises(FatalError, match=r"documents/0/7 failed in stage score \(killed_worker"):
        processor(policy=failing).condemned(page(7, "a"), 3)


@pytest.mark.parametrize("key", [None, b""])
def test_neither_value_nor_key(key: bytes | None) -> None:
    """A record that names no document at all is a dead letter, and its nulls stay nulls."""
    found = letter(only(processor()([raw(0, None, key=key)])))
    assert (found.reason, found.key, found.value) == (Reason.URL_MISSING, key, None)


def test_good_records_are_unharmed_by_bad_neighbours() -> None:
    """In one batch every record gets its own end, in order, whatever stands beside it."""
    batch = [
        page(0, "a"),
        raw(1, b"{half"),
        page(2, "bomb"),
        raw(3, None),
        page(4, "b", lang="tlh"),
        page(5, "c"),
        page(6, "bomb"),
        page(0, "d", source=P1),
    ]
    outcome = processor()(batch)
    assert [item.topic for item in outcome.parts[P0].outgoing] == [
        "results",
        "dead",
        "dead",
        "results",
        "results",
        "results",
        "dead",
    ]
    assert outcome.offsets == {P0: 7, P1: 1}
    assert (outcome.size, outcome.dead_letters) == (8, 3)
    labels = [orjson.loads(o.value or b"{}").get("labels") for o in outcome.parts[P0].outgoing if o.topic == "results"]
    assert labels == [["a"], None, [], ["c"]]
    assert dict(outcome.parts[P0].predictions) == {("en", "a"): 1, ("en", "c"): 1}


def test_only_a_failed_batch_is_scored_one_by_one() -> None:
    """A batch is one call to the scorer; when that fails, each document gets a call of its own."""
    classifier = WordClassifier()
    process = processor(classifier)
    process([page(0, "a"), page(1, "b")])
    process([page(2, "a"), page(3, "bomb")])
    assert classifier.calls == [2, 2, 1, 1]


def test_a_result_that_cannot_be_encoded_is_a_dead_letter() -> None:
    """A score that is no number concerns its own document only, never the worker."""
    outcome = processor()([page(0, "a"), page(1, "nan"), page(2, "c")])
    good, bad, other = outcome.parts[P0].outgoing
    assert (good.topic, other.topic) == ("results", "results")
    found = letter(bad)
    assert (found.stage, found.reason) == (Stage.ENCODE, Reason.SCORE_FAILED)
    assert found.value == page(1, "nan").value
    part = outcome.parts[P0]
    assert (dict(part.outcomes), dict(part.dead_letters)) == ({"classified": 2, "dead_letter": 1}, {"score_failed": 1})
    assert ("en", "nan") not in part.predictions


@pytest.mark.parametrize(("partition", "expected"), [(0, 0), (1, 1), (2, 0), (7, 1)])
def test_dead_letters_find_a_partition(partition: int, expected: int) -> None:
    """The dead-letter topic may have fewer partitions than the documents topic."""
    outcome = processor()([raw(0, b"x", source=TopicPartition("documents", partition))])
    assert only(outcome).partition == expected


@pytest.mark.parametrize(
    ("earlier", "attempts"),
    [
        ((b"1",), 2),
        ((b"7", b"2"), 3),
        ((b"-1",), 1),
        ((b"",), 1),
        ((None,), 1),
        (("\u0663".encode(),), 1),
        ((b" 5",), 1),
        ((b"1e9",), 1),
        ((b"0",), 1),
        ((b"9" * 5000,), 1_000_000_000),
        ((b"2147483647",), 1_000_000_000),
    ],
)
def test_attempts_are_counted_on(earlier: tuple[bytes | None, ...], attempts: int) -> None:
    """A replayed dead letter that fails again counts its attempts; what is no count is none, and no harm."""
    headers = tuple(("clf-attempts", value) for value in earlier)
    assert letter(only(processor()([raw(0, b"x", headers=headers)]))).attempts == attempts


# --- policy ------------------------------------------------------------------------------------------------------

FAILING = {
    Stage.DECODE: raw(5, b"secret {"),
    Stage.SCORE: page(5, "bomb"),
    Stage.ENCODE: page(5, "nan"),
}


@pytest.mark.parametrize("stage", FAILING)
@pytest.mark.parametrize("policy", OnFailure)
def test_the_policy_of_each_stage(stage: Stage, policy: OnFailure) -> None:
    """FAIL raises, naming the record but quoting nothing of it; DEAD_LETTER goes on. The other stage does not matter.

    A result that cannot be encoded is the scorer's doing, so the policy of scoring counts.
    """
    deciding = Stage.DECODE if stage is Stage.DECODE else Stage.SCORE
    other = Stage.SCORE if stage is Stage.DECODE else Stage.DECODE
    opposite = OnFailure.FAIL if policy is OnFailure.DEAD_LETTER else OnFailure.DEAD_LETTER
    process = processor(policy={deciding: policy, other: opposite})
    if policy is OnFailure.DEAD_LETTER:
        assert letter(only(process([FAILING[stage]]))).stage is stage
        return
    with pytest.raises(FatalError, match=rf"documents/0/5 failed in stage {stage}") as caught:
        process([FAILING[stage]])
    assert "secret" not in str(caught.value)


# --- telling -----------------------------------------------------------------------------------------------------


def test_each_stage_is_timed_once_per_batch() -> None:
    """Decode, score and encode are reported, in that order, for the batch as a whole."""
    observer = NotingObserver()
    processor(observer=observer)([page(0, "a"), raw(1, b"x"), page(2, "b")])
    assert observer.stages == ["decode", "score", "encode"]


def test_predictions_are_labelled_with_the_language_of_the_model() -> None:
    """Without scoring there is one model for all languages: what documents claim never becomes a metric's label."""
    outcome = processor(ConstantClassifier())([page(n, "x", lang=lang) for n, lang in enumerate(["en", "tlh", "zu"])])
    assert dict(outcome.parts[P0].predictions) == {("und", "none"): 3}


def test_an_empty_batch_is_an_empty_outcome() -> None:
    """Nothing in, nothing out."""
    assert processor()([]).parts == {}

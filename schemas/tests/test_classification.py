"""Classifications: the contract of the output topic."""

import math

import orjson
import pytest

from schemas import classifier_pb2
from schemas.classification import (
    Classification,
    ClassificationError,
    ClassProbability,
    ModelStamp,
    Source,
    Status,
    decode_classification,
)
from schemas.decoding import DecodeReason
from schemas.headers import PROTOBUF

CLASSIFIED = Classification(
    url="https://news.example/1",
    lang="en",
    status=Status.CLASSIFIED,
    labels=("sport",),
    classes=(ClassProbability("sport", 0.912345), ClassProbability("health", 1e-06)),
    model=ModelStamp("en", "20261122T045600Z", "0123456789abcdef"),
    source=Source("documents", 3, 2**63 - 1),
)
EMPTY = CLASSIFIED._replace(status=Status.EMPTY, labels=(), classes=())
UNSUPPORTED = EMPTY._replace(lang="ckb", status=Status.UNSUPPORTED_LANGUAGE, model=None)
ALL = [CLASSIFIED, CLASSIFIED._replace(labels=(), source=None), EMPTY, UNSUPPORTED]


def test_json_is_exactly_the_contract() -> None:
    """Names, order and nesting of the fields, byte for byte."""
    assert CLASSIFIED.to_json() == (
        b'{"url":"https://news.example/1","lang":"en","status":"classified","labels":["sport"],'
        b'"classes":[{"name":"sport","prob":0.912345},{"name":"health","prob":1e-6}],'
        b'"model":{"lang":"en","version":"20261122T045600Z","digest":"0123456789abcdef"},'
        b'"source":{"topic":"documents","partition":3,"offset":9223372036854775807}}'
    )


def test_json_without_model_and_source_has_nulls() -> None:
    """Every field is always there."""
    assert UNSUPPORTED._replace(source=None).to_json() == (
        b'{"url":"https://news.example/1","lang":"ckb","status":"unsupported_language","labels":[],'
        b'"classes":[],"model":null,"source":null}'
    )


@pytest.mark.parametrize("result", ALL)
def test_round_trips(result: Classification) -> None:
    """Every status survives both encodings."""
    assert decode_classification(result.to_json()) == result
    assert decode_classification(result.to_json(), "application/json; charset=utf-8") == result
    assert decode_classification(result.to_protobuf(), PROTOBUF) == result


@pytest.mark.parametrize(
    "broken",
    [
        EMPTY._replace(labels=("sport",)),
        UNSUPPORTED._replace(classes=CLASSIFIED.classes),
        CLASSIFIED._replace(model=None),
        EMPTY._replace(model=None),
        UNSUPPORTED._replace(model=CLASSIFIED.model),
        CLASSIFIED._replace(classes=(ClassProbability("sport", math.nan),)),
        CLASSIFIED._replace(classes=(ClassProbability("sport", math.inf),)),
        CLASSIFIED._replace(classes=(ClassProbability("sport", -0.1),)),
        CLASSIFIED._replace(classes=(ClassProbability("sport", 1.1),)),
        CLASSIFIED._replace(lang="\ud800"),
        CLASSIFIED._replace(labels=("\ud800",)),
        CLASSIFIED._replace(classes=(ClassProbability("sport", "1"),)),  # type: ignore[arg-type]  # the test
        CLASSIFIED._replace(source=Source("documents", 0, 2**63)),
        CLASSIFIED._replace(source=Source("documents", 2**31, 0)),
        CLASSIFIED._replace(source=Source("documents", 0, -1001)),
        CLASSIFIED._replace(url=7),  # type: ignore[arg-type]  # the test
    ],
)
def test_values_outside_the_contract_are_not_encoded(broken: Classification) -> None:
    """Nothing that a consumer would have to refuse leaves, in either encoding."""
    for encode in (broken.to_json, broken.to_protobuf):
        with pytest.raises(ClassificationError) as caught:
            encode()
        assert caught.value.reason is DecodeReason.WRONG_TYPE


@pytest.mark.parametrize("url", ["", " ", "u" * 8193])
def test_urls_outside_the_contract_are_not_encoded(url: str) -> None:
    """The url obeys the rules of the document's."""
    for encode in (CLASSIFIED._replace(url=url).to_json, CLASSIFIED._replace(url=url).to_protobuf):
        with pytest.raises(ClassificationError, match='"url"'):
            encode()


def test_protobuf_source_out_of_range_is_refused() -> None:
    """Signed fields can carry what JSON consumers would refuse: here an offset of -1."""
    message = classifier_pb2.Classification.FromString(CLASSIFIED.to_protobuf())
    message.source.offset = -1
    with pytest.raises(ClassificationError, match="out of range"):
        decode_classification(message.SerializeToString(), PROTOBUF)


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("url", None, "url"),
        ("url", " ", "url"),
        ("lang", None, '"lang" is null'),
        ("status", "unknown", '"status" is none of classified'),
        ("status", 1, '"status" is a number'),
        ("labels", "sport", '"labels" is a string'),
        ("labels", [1], '"labels[]" is a number'),
        ("classes", None, '"classes" is null'),
        ("classes", [[]], '"classes[]" is an array'),
        ("classes", [{"prob": 1}], '"classes[].name" is missing'),
        ("classes", [{"name": "a"}], '"classes[].prob" is null'),
        ("classes", [{"name": "a", "prob": True}], '"classes[].prob" is a boolean'),
        ("classes", [{"name": "a", "prob": 2}], "between 0 and 1"),
        ("model", [], '"model" is an array'),
        ("model", {}, '"model.lang" is missing'),
        ("model", None, "model must be null"),
        ("source", {"topic": "t", "partition": 0}, '"source.offset" is missing'),
        ("source", {"topic": "t", "partition": 0.5, "offset": 0}, '"source.partition" is a number, not an integer'),
        ("source", {"topic": "t", "partition": True, "offset": 0}, '"source.partition" is a boolean'),
        ("source", {"topic": "t", "partition": 2**31, "offset": 0}, '"source.partition" is not between'),
        ("source", {"topic": "t", "partition": 0, "offset": -1}, '"source.offset" is not between'),
        ("source", {"topic": "t", "partition": 0, "offset": 1e19}, '"source.offset" is not between'),
    ],
)
def test_bad_json_is_refused_by_field(field: str, value: object, detail: str) -> None:
    """The detail names the field and what is wrong with it."""
    fields = orjson.loads(CLASSIFIED.to_json()) | {field: value}
    with pytest.raises(ClassificationError) as caught:
        decode_classification(orjson.dumps(fields))
    assert detail in caught.value.detail


@pytest.mark.parametrize("field", ["url", "lang", "status", "labels", "classes", "model", "source"])
def test_every_field_is_required(field: str) -> None:
    """Consumers need no defaults."""
    fields = orjson.loads(CLASSIFIED.to_json())
    del fields[field]
    with pytest.raises(ClassificationError, match=f'"{field}" is missing'):
        decode_classification(orjson.dumps(fields))


def test_bad_bytes_are_refused() -> None:
    """Neither encoding lets another error through."""
    with pytest.raises(ClassificationError, match="not JSON"):
        decode_classification(b"{")
    with pytest.raises(ClassificationError, match=r"no clf\.v1\.Classification"):
        decode_classification(CLASSIFIED.to_protobuf()[:-1], PROTOBUF)
    with pytest.raises(ClassificationError, match="content-type"):
        decode_classification(CLASSIFIED.to_json(), "text/html")


@pytest.mark.parametrize("status", [0, 99])
def test_unknown_protobuf_status_is_refused(status: int) -> None:
    """A status of a later version is not guessed at."""
    message = classifier_pb2.Classification.FromString(CLASSIFIED.to_protobuf() + bytes([0x18, status]))
    with pytest.raises(ClassificationError, match="status"):
        decode_classification(message.SerializeToString(), PROTOBUF)

"""The generated protobuf code is what the .proto file generates, and the .proto file keeps its promises."""

from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc_tools import protoc  # type: ignore[import-untyped]  # grpcio-tools ships no annotations

from schemas import classifier_pb2
from schemas.classification import Status
from schemas.document import Document

ROOT = Path(__file__).parents[2]
# Published numbers. Lines may be added; a changed one breaks every consumer.
FIELDS = {
    "Document": {"url": 1, "title": 2, "text": 3, "lang": 4},
    "ClassProbability": {"name": 1, "prob": 2},
    "ModelStamp": {"lang": 1, "version": 2, "digest": 3},
    "Source": {"topic": 1, "partition": 2, "offset": 3},
    "Classification": {
        "url": 1,
        "lang": 2,
        "status": 3,
        "labels": 4,
        "classes": 5,
        "model": 6,
        "source": 7,
    },
    "ClassifyBatchRequest": {"documents": 1},
    "ClassifyBatchResponse": {"classifications": 1},
}
# Published methods: request, response. None of them streams.
METHODS = {
    "Classify": ("clf.v1.Document", "clf.v1.Classification"),
    "ClassifyBatch": ("clf.v1.ClassifyBatchRequest", "clf.v1.ClassifyBatchResponse"),
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the code anew, with the command that classifier.proto names."""
    out = tmp_path_factory.mktemp("generated")
    proto = ROOT / "schemas" / "classifier.proto"
    code = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={out}", f"--pyi_out={out}", str(proto)])
    assert code == 0
    return out / "schemas"


@pytest.mark.parametrize("name", ["classifier_pb2.py", "classifier_pb2.pyi"])
def test_committed_code_is_current(generated: Path, name: str) -> None:
    """Whoever edits the .proto file regenerates; the command stands in its head."""
    assert (ROOT / "schemas" / name).read_text() == (generated / name).read_text()


def test_package_is_versioned() -> None:
    """Version 1 lives in clf.v1; a breaking change would be clf.v2 beside it."""
    assert classifier_pb2.DESCRIPTOR.package == "clf.v1"


@pytest.mark.parametrize("name", FIELDS)
def test_field_numbers_are_kept(name: str) -> None:
    """Every published field still has its number."""
    message = classifier_pb2.DESCRIPTOR.message_types_by_name[name]
    assert {field.name: field.number for field in message.fields} == FIELDS[name]


def test_every_message_is_pinned() -> None:
    """No message is published without its numbers above."""
    assert set(classifier_pb2.DESCRIPTOR.message_types_by_name) == set(FIELDS)


def test_lists_are_lists() -> None:
    """One of many is no other type on the wire, but another contract."""
    repeated = {
        f"{name}.{field.name}"
        for name, message in classifier_pb2.DESCRIPTOR.message_types_by_name.items()
        for field in message.fields
        if field.is_repeated
    }
    assert repeated == {
        "Classification.labels",
        "Classification.classes",
        "ClassifyBatchRequest.documents",
        "ClassifyBatchResponse.classifications",
    }


def test_methods_are_kept() -> None:
    """Every published method of the one service still takes and gives what it did, and none streams."""
    assert list(classifier_pb2.DESCRIPTOR.services_by_name) == ["Classifier"]
    methods = classifier_pb2.DESCRIPTOR.services_by_name["Classifier"].methods
    found = {method.name: (method.input_type.full_name, method.output_type.full_name) for method in methods}
    assert found == METHODS
    assert not any(method.client_streaming or method.server_streaming for method in methods)


def test_probabilities_are_doubles() -> None:
    """JSON and protobuf carry the same number."""
    field = classifier_pb2.ClassProbability.DESCRIPTOR.fields_by_name["prob"]
    assert field.type == FieldDescriptor.TYPE_DOUBLE


def test_statuses_are_the_same_in_both_encodings() -> None:
    """Every status has a number, and 0 stays "unspecified"."""
    names = {status: f"STATUS_{status.name}" for status in Status}
    assert classifier_pb2.Status.keys() == ["STATUS_UNSPECIFIED", *names.values()]


def test_bytes_are_those_of_the_wire_format() -> None:
    """Field 1 to 4, length-delimited; empty fields are not sent."""
    assert Document("u", "", "ab", "en").to_protobuf() == b"\x0a\x01u\x1a\x02ab\x22\x02en"

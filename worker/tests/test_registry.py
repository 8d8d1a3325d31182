"""The schema registry: asked once, waited for, never guessed; and confluent-kafka's own serializers beside ours."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import orjson
import pytest
from confluent_kafka.schema_registry import Schema, header_schema_id_serializer
from confluent_kafka.schema_registry._sync.mock_schema_registry_client import MockSchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas import classifier_pb2
from schemas.dead_letter import Stage
from schemas.decoding import DecodeError, DecodeReason
from schemas.document import Document
from schemas.document_reader import DocumentReader
from schemas.framing import VALUE_SCHEMA_ID, ResultFrame, frame_before
from schemas.headers import Headers
from worker.classify import ConstantClassifier
from worker.document_options import ResultFraming, SchemaRegistry
from worker.kafka.registry import Registry, RegistryError, open_registry
from worker.kafka.settings import SettingsError
from worker.stream.errors import FatalError
from worker.stream.policy import OnFailure
from worker.stream.processor import Destination, Processor
from worker.stream.records import Outgoing, Record
from worker.tests.fakes import P0, ManualClock, NotingObserver

DOCUMENT = Document("https://a.example/1", "Title", "text", "en")
SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "document.schema.json"
GUID = UUID("89791762-2336-4186-9674-299b90a802e2")


@pytest.fixture
def client() -> MockSchemaRegistryClient:
    """Confluent's own stand-in for a registry."""
    return MockSchemaRegistryClient({"url": "mock://"})


def a_registry(client: object, clock: ManualClock | None = None) -> Registry:
    """One of ours on it."""
    stand_in: Any = client
    return Registry(stand_in, "http://registry", clock or ManualClock())


class Scripted:
    """Answers as it is told to, one thing after the other; the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def get_schema(self, schema_id: int) -> object:
        """The next answer."""
        del schema_id
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(schema_type=answer)

    def get_schema_by_guid(self, guid: str) -> object:
        """The same."""
        return self.get_schema(len(guid))


NO_SCHEMA = SchemaRegistryError(404, 40403, "Schema not found")
NO_PAGE = SchemaRegistryError(404, 0, "no such page")
DOWN = ConnectionError("refused")


def test_a_schema_is_asked_for_once() -> None:
    """What the registry said is kept, so that a record costs one look into a dictionary."""
    client = Scripted("JSON")
    registry = a_registry(client)
    assert [registry.schema_type(7) for _ in range(3)] == ["JSON"] * 3
    assert client.asked == 1


def test_a_registry_that_comes_back_is_waited_for() -> None:
    """An outage costs time, no document."""
    clock = ManualClock()
    client = Scripted(DOWN, SchemaRegistryError(503, 50003, "no leader"), NO_PAGE, "PROTOBUF")
    assert a_registry(client, clock).schema_type(7) == "PROTOBUF"
    assert len(clock.slept) == 3


def test_a_registry_that_stays_away_ends_the_worker() -> None:
    """After half a minute, with nothing committed: its successor asks again."""
    clock = ManualClock()
    with pytest.raises(FatalError, match=r"http://registry .* ConnectionError: refused.* Nothing of this batch"):
        a_registry(Scripted(DOWN), clock).schema_type(7)
    assert 30 <= sum(clock.slept) <= 32


def test_an_unknown_id_is_a_reason_for_a_minute() -> None:
    """It is not asked for with every record, but a registry may learn it later."""
    clock = ManualClock()
    client = Scripted(NO_SCHEMA, NO_SCHEMA, "JSON")
    registry = a_registry(client, clock)
    for asked in (1, 1, 2):
        with pytest.raises(DecodeError) as caught:
            registry.schema_type(7)
        assert (caught.value.reason, client.asked) == (DecodeReason.UNKNOWN_SCHEMA, asked)
        clock.now += 31
    clock.now += 61
    assert registry.schema_type(7) == "JSON"


def test_a_registry_without_guids_cannot_tell() -> None:
    """Apicurio has no such page; then the value is read as without a registry."""
    client = Scripted(NO_PAGE)
    assert [a_registry(client).schema_type(GUID) for _ in range(2)] == [None, None]


def test_results_have_their_schema_registered(client: MockSchemaRegistryClient) -> None:
    """Under the topic's name, once, and the frame says its id or its GUID."""
    registry = a_registry(client)
    assert registry.result_frame("results", ResultFraming.NONE) == ResultFrame()
    frame = registry.result_frame("results", ResultFraming.REGISTRY)
    assert registry.result_frame("results", ResultFraming.REGISTRY) == frame
    registered = client.get_latest_version("results-value")
    assert frame == frame_before(registered.schema_id or 0)
    [(name, value)] = registry.result_frame("results", ResultFraming.REGISTRY_HEADER).headers
    assert (name, value) == (VALUE_SCHEMA_ID, b"\1" + UUID(registered.guid).bytes)
    assert client.get_subjects() == ["results-value"]


def test_no_guid_no_header() -> None:
    """A registry that gives none cannot be had with --result-framing registry-header."""
    client = SimpleNamespace(register_schema_full_response=lambda *_: SimpleNamespace(schema_id=1, guid=None))
    with pytest.raises(RegistryError, match="take --result-framing registry"):
        a_registry(client).result_frame("results", ResultFraming.REGISTRY_HEADER)


# --- opening ------------------------------------------------------------------------------------------------------


def test_the_options_open_it(tmp_path: Path) -> None:
    """Nothing without an URL; a properties file is the client's own."""
    assert open_registry(SchemaRegistry(), ManualClock()) is None
    properties = tmp_path / "registry.properties"
    properties.write_text("basic.auth.user.info=me:secret\n", "utf-8")
    assert open_registry(SchemaRegistry("mock://a", properties), ManualClock()) is not None
    properties.write_text("basic.auth=me:secret\n", "utf-8")
    with pytest.raises(SettingsError, match=r"basic\.auth"):
        open_registry(SchemaRegistry("http://a.invalid", properties), ManualClock())


def test_what_is_no_registry_is_told_at_the_start() -> None:
    """In one sentence, without the password of the URL."""
    with pytest.raises(
        RegistryError, match=r"http://127\.0\.0\.1:1 does not answer .*--schema-registry-config"
    ) as caught:
        open_registry(SchemaRegistry("http://me:secret@127.0.0.1:1"), ManualClock())
    assert "secret" not in str(caught.value)


def test_a_missing_client_is_told() -> None:
    """The sentence names the extra."""
    with (
        patch.dict("sys.modules", {"confluent_kafka.schema_registry": None}),
        pytest.raises(RegistryError, match=r"clf-worker\[registry\]"),
    ):
        open_registry(SchemaRegistry("mock://a"), ManualClock())


# --- theirs and ours ------------------------------------------------------------------------------------------------

Serialize = Callable[[object, SerializationContext], bytes | None]
Serialized = Callable[[MockSchemaRegistryClient, SerializationContext], bytes | None]


def as_json(client: MockSchemaRegistryClient, context: SerializationContext, **config: object) -> bytes | None:
    """By confluent-kafka's JSONSerializer."""
    fields = orjson.loads(DOCUMENT.to_json())
    serialize: Serialize = JSONSerializer(SCHEMA_FILE.read_text("utf-8"), client, conf=config or None)
    return serialize(fields, context)


def as_json_in_header(client: MockSchemaRegistryClient, context: SerializationContext) -> bytes | None:
    """The same, with the GUID in a header."""
    return as_json(client, context, **{"schema.id.serializer": header_schema_id_serializer})


def as_protobuf(client: MockSchemaRegistryClient, context: SerializationContext, **config: object) -> bytes | None:
    """By confluent-kafka's ProtobufSerializer."""
    serialize: Serialize = ProtobufSerializer(classifier_pb2.Document, client, config)
    return serialize(DOCUMENT.to_message(), context)


def as_protobuf_in_header(client: MockSchemaRegistryClient, context: SerializationContext) -> bytes | None:
    """The same, with the GUID in a header."""
    return as_protobuf(client, context, **{"schema.id.serializer": header_schema_id_serializer})


SERIALIZERS = [as_json, as_json_in_header, as_protobuf, as_protobuf_in_header]


def results(
    client: MockSchemaRegistryClient, framing: ResultFraming, value: bytes, headers: Headers
) -> Iterator[Outgoing]:
    """What a worker on that registry publishes for one record."""
    registry = a_registry(client)
    process = Processor(
        ConstantClassifier,
        Destination("results", "dead", lambda: 1),
        {Stage.DECODE: OnFailure.FAIL, Stage.SCORE: OnFailure.FAIL},
        NotingObserver(),
        ManualClock(),
        DocumentReader(schema_type=registry.schema_type),
        registry.result_frame("results", framing),
    )
    for part in process([Record(P0, 3, 1, None, value, headers)]).parts.values():
        yield from part.outgoing


@pytest.mark.parametrize("framing", ResultFraming)
@pytest.mark.parametrize("serialize", SERIALIZERS)
def test_theirs_writes_ours_reads_and_the_other_way(
    client: MockSchemaRegistryClient, serialize: Serialized, framing: ResultFraming
) -> None:
    """A document of their serializers is classified, and their deserializer reads the result, checked by its schema."""
    headers: list[tuple[str, Any]] = [("trace", b"1")]
    value = serialize(client, SerializationContext("documents", MessageField.VALUE, headers))
    assert value is not None
    [result] = results(client, framing, value, tuple(headers))
    names = [name for name, _ in result.headers]
    assert names == (["trace", VALUE_SCHEMA_ID] if framing is ResultFraming.REGISTRY_HEADER else ["trace"])
    if framing is ResultFraming.NONE:
        assert result.value is not None
        found: Any = orjson.loads(result.value)
    else:
        read = JSONDeserializer(None, schema_registry_client=client)
        found = read(result.value, SerializationContext("results", MessageField.VALUE, list(result.headers)))
    assert (found["url"], found["source"]["offset"]) == (DOCUMENT.url, 3)


def test_a_schema_of_another_kind_is_refused(client: MockSchemaRegistryClient) -> None:
    """Avro is none of ours, whatever the bytes look like."""
    number = client.register_schema("documents-value", Schema('"string"', "AVRO"))
    with pytest.raises(DecodeError) as caught:
        DocumentReader(schema_type=a_registry(client).schema_type)(b"\0" + number.to_bytes(4, "big") + b"{}", ())
    assert caught.value.reason is DecodeReason.WRONG_SCHEMA

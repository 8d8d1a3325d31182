"""Framed values with a real registry, Apicurio, and a real broker: confluent-kafka's serializers on both sides."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from integration_tests.apicurio import NoRegistryError, apicurio
from integration_tests.broker import ToSend
from integration_tests.system import CLF, THOROUGH, System
from schemas import classifier_pb2
from schemas.document import Document

pytestmark = [pytest.mark.broker, THOROUGH, pytest.mark.timeout(600)]

SCHEMA = (Path(__file__).parents[1] / "schemas" / "document.schema.json").read_text("utf-8")


def framed(client: SchemaRegistryClient, topic: str, documents: list[Document]) -> list[ToSend]:
    """Every other one as Protobuf, under subjects of their own."""
    as_json: Any = JSONSerializer(SCHEMA, client)
    as_protobuf: Any = ProtobufSerializer(classifier_pb2.Document, client)
    found = []
    for number, document in enumerate(documents):
        serialize = as_protobuf if number % 2 else as_json
        value = document.to_message() if number % 2 else orjson.loads(document.to_json())
        context = SerializationContext(f"{topic}.{number % 2}", MessageField.VALUE)
        found.append(ToSend(serialize(value, context), document.url.encode()))
    return found


def test_framed_documents_with_a_real_registry(system: System, sample: list[Document], model_store: Path) -> None:
    """Theirs are classified, strangers put aside, known schemas go on while the registry is away, theirs reads ours."""
    log = system.directory / "apicurio.log"
    options = ("--models", str(model_store), "--result-framing", "registry", "--schema-registry")
    try:
        with (
            apicurio(log) as (url, process),
            system.worker(*options, url) as worker,
            SchemaRegistryClient({"url": url}) as client,
        ):
            records = framed(client, system.documents, sample)
            avro = client.register_schema("strangers", Schema('{"type": "string"}', "AVRO"))
            strangers = [ToSend(b"\0" + number.to_bytes(4, "big") + b"{}", b"k") for number in (avro, 999_999)]
            system.kafka.produce(system.documents, [*records, *strangers])
            system.await_settled(len(records) + 2)
            read: Any = JSONDeserializer(None, schema_registry_client=client)
            context = SerializationContext(system.classifications, MessageField.VALUE)
            results = [read(record.value, context) for record in system.results()]
            assert {result["url"] for result in results} == {document.url for document in sample}
            process.kill()
            system.kafka.produce(system.documents, records)
            system.await_settled(2 * len(records) + 2)
            assert worker.terminate() == 0
    except NoRegistryError as error:
        pytest.skip(str(error))
    reasons = Counter(dict(record.headers)["clf-reason"] for record in system.letters())
    assert reasons == {b"unknown_schema": 1, b"wrong_schema": 1}
    command = [*CLF, "verify", *system.options(), "--recompute", "1", "--models", str(model_store), "--json"]
    found = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert found.returncode == 0, found.stdout

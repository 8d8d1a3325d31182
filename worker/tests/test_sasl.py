"""Credentials that are not accepted. The mock cluster knows no SASL, so this speaks just enough of the protocol."""

import struct
import threading
from collections.abc import Iterator
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster, ClusterError
from worker.tests.mock_cluster import codes

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
SUPPORTED = ((API_VERSIONS, 0, 0), (SASL_HANDSHAKE, 0, 1), (SASL_AUTHENTICATE, 0, 0))


def text(value: str) -> bytes:
    """A string of the protocol."""
    return struct.pack(">h", len(value)) + value.encode()


def answer(api: int, version: int) -> bytes:
    """What a broker says that does not know the password."""
    if api == SASL_HANDSHAKE:
        return struct.pack(">hi", 0, 1) + text("PLAIN")
    if api == SASL_AUTHENTICATE:
        return (
            struct.pack(">h", codes()["SASL_AUTHENTICATION_FAILED"]) + text("Invalid password") + struct.pack(">i", 0)
        )
    if version > 0:
        return struct.pack(">hi", codes()["UNSUPPORTED_VERSION"], 0)  # the client asks again, in the first version
    return struct.pack(">hi", 0, len(SUPPORTED)) + b"".join(struct.pack(">hhh", *row) for row in SUPPORTED)


class Connection(BaseRequestHandler):
    """One client, until it goes."""

    def handle(self) -> None:
        """Answer every request."""
        stream = self.request.makefile("rwb")
        while header := stream.read(4):
            request = stream.read(*struct.unpack(">i", header))
            api, version, correlation = struct.unpack(">hhi", request[:8])
            body = struct.pack(">i", correlation) + answer(api, version)
            stream.write(struct.pack(">i", len(body)) + body)
            stream.flush()


@pytest.fixture
def suspicious_broker() -> Iterator[str]:
    """Its address."""
    with ThreadingTCPServer(("127.0.0.1", 0), Connection) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield "{}:{}".format(*server.server_address)
        server.shutdown()
        thread.join()


def test_wrong_credentials_at_the_start(suspicious_broker: str) -> None:
    """The reason is told, not its consequence (that no broker can be used), and where the credentials stand."""
    properties = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "clf",
        "sasl.password": "guessed",
    }
    cluster = Cluster(kafka_settings.common(suspicious_broker, properties, "admin"), timeout_seconds=1.0)
    with pytest.raises(ClusterError) as caught:
        cluster.partitions(["documents"])
    sentence = str(caught.value)
    assert f"{suspicious_broker} refuses this client" in sentence
    assert "Invalid password" in sentence
    assert "sasl.*" in sentence
    assert "guessed" not in sentence


def test_the_consequence_does_not_hide_the_reason() -> None:
    """When the last broker refuses, the client also says that all are down, and that comes last."""
    cluster = Cluster({"bootstrap.servers": "127.0.0.1:1"})
    for code in (KafkaError._AUTHENTICATION, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        cluster._on_error(KafkaError(code))
    assert "refuses this client" in str(cluster._unreachable(KafkaException(KafkaError(KafkaError._TRANSPORT))))

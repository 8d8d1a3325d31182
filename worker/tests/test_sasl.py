"""Credentials that are not accepted. The mock cluster knows no SASL, so this speaks just enough of the protocol."""

import re
import struct
import threading
from collections.abc import Iterator
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.clock import SystemClock
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster, ClusterError
from worker.tests.mock_cluster import codes

CLOCK = SystemClock()
FAILURE = KafkaException(KafkaError(KafkaError._TRANSPORT))
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


def serving(handler: type[BaseRequestHandler]) -> Iterator[str]:
    """Its address, while it is served."""
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield "{}:{}".format(*server.server_address)
        server.shutdown()
        thread.join()


@pytest.fixture
def suspicious_broker() -> Iterator[str]:
    """Its address."""
    yield from serving(Connection)


class Mute(BaseRequestHandler):
    """Hangs up, as a port for TLS does on plain text."""

    def handle(self) -> None:
        """Wait for the first bytes."""
        self.request.recv(1)


@pytest.fixture
def mute_broker() -> Iterator[str]:
    """Its address."""
    yield from serving(Mute)


def test_wrong_credentials_at_the_start(suspicious_broker: str) -> None:
    """The reason is told, not its consequence (that no broker can be used), and where the credentials stand."""
    properties = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "clf",
        "sasl.password": "guessed",
    }
    cluster = Cluster(kafka_settings.common(suspicious_broker, properties, "admin"), timeout_seconds=30.0)
    started = CLOCK.monotonic()
    with pytest.raises(ClusterError) as caught:
        cluster.partitions(["documents"])
    assert CLOCK.monotonic() - started < 15, "a refusal is not waited out"
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
    assert "refuses this client" in str(cluster._unreachable(FAILURE))


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: x", r"ssl\.ca\.location"),
        ("Receive failed: error:0A000412:SSL routines::x: SSL alert number 42 (after 1ms)", r"ssl\.certificate"),
        ("Receive failed: error:0A00045C:SSL routines::x: SSL alert number 116 (after 1ms)", r"ssl\.certificate"),
        ("SSL handshake failed: error:0A000410:SSL routines::x: SSL alert number 40 (after 1ms)", r"--kafka-config\.$"),
    ],
)
def test_what_tls_refuses(said: str, helps: str) -> None:
    """Whose certificate is not accepted is told by OpenSSL's words only; all others get the general advice."""
    cluster = Cluster({"bootstrap.servers": "127.0.0.1:1"})
    cluster._on_error(KafkaError(KafkaError._SSL, said))
    cluster._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "0/1 brokers are down"))
    assert re.search(helps, str(cluster._unreachable(FAILURE)))


def test_a_port_that_hangs_up(mute_broker: str) -> None:
    """All that the client says of one is that all brokers are down; that it speaks another protocol is likelier."""
    cluster = Cluster({"bootstrap.servers": mute_broker}, timeout_seconds=1.0)
    with pytest.raises(ClusterError, match=r"takes connections and closes them: security\.protocol .* plaintext"):
        cluster.partitions(["documents"])

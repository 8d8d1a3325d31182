"""The client as its callers see it, on channels that do not leave the process."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import worker.client
from schemas.classification import Classification, ModelStamp, Status, encode_classifications
from schemas.document import decode_document, decode_documents
from schemas.headers import PROTOBUF
from worker.calling.addresses import Addresses
from worker.client import ClassificationError, ClassifierClient, ClassifierError, Document, DocumentError, TargetError
from worker.tests.client_fakes import Asked, Code, Connectivity, FakeChannel, ScriptedLookup

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 5.0
PAGE = Document("https://site.example/a", "Cup final", "A late goal won the match.", "en")
# What `pip install clf-worker` brings, and a crawler that only calls has no use for.
TOO_MUCH = ("sklearn", "scipy", "numpy", "confluent_kafka", "joblib", "consul", "requests", "models", "structlog")


def result(document: Document) -> Classification:
    """What the servers of these tests answer."""
    model = ModelStamp("en", "v1", "5fa6f95a734343e1")
    return Classification(document.url, "en", Status.CLASSIFIED, ("sport",), (("sport", 0.9),), model, None)


def answer(asked: Asked) -> None:
    """Answer as such a server."""
    if asked.method.endswith("/ClassifyBatch"):
        asked.pending.end(Code.OK, encode_classifications(map(result, decode_documents(asked.request))))
    else:
        asked.pending.end(Code.OK, result(decode_document(asked.request, PROTOBUF)).to_protobuf())


class Network:
    """The channels that clients of a test opened, by address."""

    def __init__(self) -> None:
        self.answer: Callable[[Asked], None] | None = answer
        self.ready = True
        self.channels: dict[str, FakeChannel] = {}

    def open(self, address: str, security: object) -> FakeChannel:
        """Another one, ready at once unless the test says otherwise."""
        del security
        channel = self.channels[address] = _Eager(address, self.answer) if self.ready else FakeChannel(address)
        return channel


class _Eager(FakeChannel):
    def subscribe(self, callback: Callable[..., None], *, try_to_connect: bool | None = None) -> None:
        super().subscribe(callback, try_to_connect=try_to_connect)
        self.become(Connectivity.READY)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Whose channels all clients get."""
    made = Network()
    monkeypatch.setattr(worker.client, "open_channel", made.open)
    return made


@pytest.fixture
def client(network: Network) -> Iterator[ClassifierClient]:
    """A client of two servers."""
    del network
    with ClassifierClient("a:1,b:1", connect_timeout=0.0) as made:
        yield made


# --- calls -------------------------------------------------------------------------------------------------------


def test_one_document(client: ClassifierClient) -> None:
    """It goes as protobuf, and comes back as what a worker would publish."""
    assert client.classify(PAGE) == result(PAGE)


def test_several_documents(client: ClassifierClient) -> None:
    """They go in one call, and come back in their order."""
    pages = [PAGE._replace(url=f"u{number}") for number in range(3)]
    assert client.classify_batch(pages) == [result(page) for page in pages]
    assert client.classify_batch([]) == []


def test_the_error_says_who_is_to_blame(network: Network) -> None:
    """A refused document has the server's code and sentence."""
    sentence = 'url_missing: the field "url" is empty'
    network.answer = lambda asked: asked.pending.end(Code.INVALID_ARGUMENT, details=sentence)
    with ClassifierClient(["a:1"], connect_timeout=0.0) as client, pytest.raises(ClassifierError) as caught:
        client.classify(Document(""))
    assert (caught.value.code, caught.value.detail, caught.value.attempts) == (Code.INVALID_ARGUMENT, sentence, 1)


def test_what_utf8_cannot_hold_is_not_sent(client: ClassifierClient, network: Network) -> None:
    """A lone surrogate is refused here, as everywhere."""
    with pytest.raises(DocumentError):
        client.classify(PAGE._replace(text="\ud800"))
    assert not any(channel.asked for channel in network.channels.values())


def test_an_answer_of_another_kind(network: Network) -> None:
    """What this version does not understand is an error with a name, not a half-read result."""
    network.answer = lambda asked: asked.pending.end(Code.OK, b"\xff")
    with ClassifierClient("a:1", connect_timeout=0.0) as client:
        with pytest.raises(ClassificationError):
            client.classify(PAGE)
        with pytest.raises(ClassificationError):
            client.classify_batch([PAGE])


def test_threads_share_a_client(client: ClassifierClient, network: Network) -> None:
    """Each gets the answer to its own document, over the same connections."""
    found: dict[str, str] = {}

    def classify(first: int) -> None:
        for number in range(first, first + 50):
            found[f"u{number}"] = client.classify(PAGE._replace(url=f"u{number}")).url

    threads = [threading.Thread(target=classify, args=(50 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {f"u{number}": f"u{number}" for number in range(400)}
    assert network.channels.keys() == {"a:1", "b:1"}
    assert [server.in_flight for server in client._fleet.servers] == [0, 0]


# --- connections ---------------------------------------------------------------------------------------------------


def test_it_is_ready_while_a_server_is(client: ClassifierClient, network: Network) -> None:
    """One is enough."""
    assert client.ready
    network.channels["a:1"].become(Connectivity.TRANSIENT_FAILURE)
    assert client.ready
    network.channels["b:1"].become(Connectivity.TRANSIENT_FAILURE)
    assert not client.ready


def test_nobody_there_is_said(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    """A client without a server that answers is made all the same, with a warning that names those it tries."""
    network.ready = False
    with caplog.at_level(logging.WARNING), ClassifierClient("a:1,b:1", connect_timeout=0.0) as client:
        assert not client.ready
    assert [record.getMessage() for record in caplog.records] == ["no server is ready yet: a:1, b:1"]


def test_a_closed_client(client: ClassifierClient, network: Network) -> None:
    """Its connections are closed, calls fail at once, and closing it again is fine."""
    client.close()
    assert all(channel.closed for channel in network.channels.values())
    with pytest.raises(ClassifierError, match="UNAVAILABLE: no server is known, or the client is closed"):
        client.classify(PAGE)
    assert not client.ready
    client.close()


def test_closing_ends_the_calls_under_way(network: Network) -> None:
    """A caller that waits on another thread gets its error at once, not at its deadline."""
    network.answer = None
    client = ClassifierClient("a:1", connect_timeout=0.0, hedge_after=60.0)
    caught: list[ClassifierError] = []

    def classify() -> None:
        with pytest.raises(ClassifierError) as error:
            client.classify(PAGE, timeout=60.0)
        caught.append(error.value)

    thread = threading.Thread(target=classify)
    thread.start()
    assert network.channels["a:1"].was_asked.wait(TIMEOUT_S)
    client.close()
    thread.join(TIMEOUT_S)
    assert [error.code for error in caught] == [Code.UNAVAILABLE]


def test_addresses_that_are_looked_up(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers are those of the registry, from when it has answered."""
    monkeypatch.setattr(worker.client, "parse", lambda _: ScriptedLookup([("c:1", "d:1")]))
    with ClassifierClient("consul://agent/clf-grpc", connect_timeout=TIMEOUT_S) as client:
        assert client.classify(PAGE) == result(PAGE)
        assert network.channels.keys() == {"c:1", "d:1"}
        assert client._book is not None
    client._book._thread.join(TIMEOUT_S)
    assert not client._book._thread.is_alive()


class Held:
    """A registry that does not answer before it may."""

    pause = 60.0

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    def addresses(self) -> Addresses:
        """Wait, then answer."""
        self.may_answer.wait(TIMEOUT_S)
        return ("a:1",)


def test_a_registry_that_hangs(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up the client no longer than told, and what it says after `close` connects to nobody."""
    lookup = Held()
    monkeypatch.setattr(worker.client, "parse", lambda _: lookup)
    client = ClassifierClient("dns:///clf.example:1", connect_timeout=0.0)
    with pytest.raises(ClassifierError, match="no server is known"):
        client.classify(PAGE)
    client.close()
    lookup.may_answer.set()
    assert client._book is not None
    client._book._thread.join(TIMEOUT_S)
    assert (client._book._thread.is_alive(), network.channels) == (False, {})


# --- metrics and imports ---------------------------------------------------------------------------------------------


def test_metrics_on_a_registry_passed_in(network: Network) -> None:
    """Calls and their seconds, attempts, winners, spared attempts, and servers by state, all with help text."""
    registry = CollectorRegistry()
    with ClassifierClient("a:1,b:1", connect_timeout=0.0, registry=registry) as client:
        client.classify(PAGE)
        network.channels["b:1"].become(Connectivity.TRANSIENT_FAILURE)
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in registry.collect()
            for sample in family.samples
            if not sample.name.endswith(("_created", "_bucket", "_sum"))
        }
    assert (client.registry, values) == (
        registry,
        {
            ("clf_client_calls_total", "OK"): 1.0,
            ("clf_client_latency_seconds_count",): 1.0,
            ("clf_client_attempts_total", "1"): 1.0,
            ("clf_client_won_total", "1"): 1.0,
            ("clf_client_throttled_total",): 0.0,
            ("clf_client_servers", "yes"): 1.0,
            ("clf_client_servers", "no"): 1.0,
        },
    )
    exposed = "".join(f"# HELP {family.name} {family.documentation}\n" for family in registry.collect())
    assert all(len(family.documentation) > 20 for family in text_string_to_metric_families(exposed))


def test_a_registry_of_its_own(client: ClassifierClient) -> None:
    """Without one, metrics stay with the client, so that two clients do not meet on the global one."""
    client.classify(PAGE)
    assert client.registry.get_sample_value("clf_client_calls_total", {"code": "OK"}) == 1.0


def test_a_target_that_is_wrong_takes_nothing(network: Network) -> None:
    """The registry is still free for a client whose target is right, and nobody was connected."""
    registry = CollectorRegistry()
    with pytest.raises(TargetError):
        ClassifierClient("http://a:1", registry=registry)
    assert network.channels == {}
    ClassifierClient("a:1", connect_timeout=0.0, registry=registry).close()


def test_the_import_is_light() -> None:
    """A crawler needs neither scikit-learn nor Kafka, nor Consul's client, nor what the servers log with."""
    script = (
        "import json, sys, worker.client; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT)
    assert set(json.loads(done.stdout)) & set(TOO_MUCH) == set()

"""The client against real servers: same results, and no call lost or late when one of them freezes or restarts."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import grpc
import pytest
import trustme
from prometheus_client import CollectorRegistry

from integration_tests.serving import ServeProcess
from integration_tests.system import CLF, CLOCK, numbered, wait_until
from schemas.classification import Status, decode_classification
from schemas.document import Document
from worker.client import ClassifierClient, ClassifierError, Security

BUDGET_S = 0.1
PATIENT_S = 5.0
# What a call without an answer may take beyond its timeout on a machine that is busy with other things.
MARGIN_S = 1.0
NAME = "classifier.example"


@pytest.fixture(scope="module")
def servers(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServeProcess]]:
    """Two servers that tests leave as they found them."""
    directory = tmp_path_factory.mktemp("servers")
    options = ["--models", str(model_store)]
    with ServeProcess(directory / "a", options) as first, ServeProcess(directory / "b", options) as second:
        yield [first, second]


@contextmanager
def frozen(server: ServeProcess) -> Iterator[None]:
    """A server that keeps its connections and answers nobody, inside the `with` block."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def await_servers(client: ClassifierClient, ready: int) -> None:
    """Wait until the client counts that many ready servers."""
    wait_until(lambda: metric(client, "clf_client_servers", ready="yes") == ready, f"{ready} servers are ready", 15)


def metric(client: ClassifierClient, name: str, **labels: str) -> float:
    """One value of the client's metrics."""
    return client.registry.get_sample_value(name, labels) or 0.0


def failure(client: ClassifierClient, document: Document, timeout: float | None = None) -> ClassifierError:
    """The error of a call."""
    with pytest.raises(ClassifierError) as caught:
        client.classify(document, timeout)
    return caught.value


# --- answers -----------------------------------------------------------------------------------------------------


def test_answers_are_those_of_classify(servers: list[ServeProcess], model_store: Path, sample: list[Document]) -> None:
    """One at a time or in batches, results equal those of `clf classify` with the same models."""
    documents = [*numbered(sample, 48), Document("u", "", "Goodnatt", "sv"), Document("v", "", "", "en")]
    lines = b"".join(document.to_json() + b"\n" for document in documents)
    command = [*CLF, "classify", "--models", str(model_store), "--format", "json"]
    output = subprocess.run(command, input=lines, capture_output=True, check=True).stdout
    expected = [decode_classification(line) for line in output.split(b"\n") if line]
    assert {result.status for result in expected} == set(Status)
    with ClassifierClient([server.grpc for server in servers], timeout=PATIENT_S) as client:
        assert [client.classify(document) for document in documents] == expected
        assert client.classify_batch(documents) == expected


def test_a_bad_document(servers: list[ServeProcess], sample: list[Document]) -> None:
    """It is refused once, with the server's sentence; its neighbours of other calls are answered."""
    with ClassifierClient([server.grpc for server in servers], timeout=PATIENT_S, hedge_after=PATIENT_S) as client:
        error = failure(client, Document("", "title", "text", "en"))
        assert (error.code, error.detail) == (grpc.StatusCode.INVALID_ARGUMENT, 'url_missing: the field "url" is empty')
        assert error.attempts == 1
        with pytest.raises(ClassifierError, match=r"INVALID_ARGUMENT: .*64"):
            client.classify_batch(sample[:1] * 65)
        assert client.classify(sample[0]).url == sample[0].url


def test_metrics_on_a_registry_passed_in(servers: list[ServeProcess], sample: list[Document]) -> None:
    """What the client counts agrees with what its servers count."""
    registry = CollectorRegistry()
    line = 'grpc_server_handled_total{grpc_code="OK",'
    before = sum(server.metric(line) for server in servers)
    targets = ",".join(server.grpc for server in servers)
    with ClassifierClient(targets, timeout=PATIENT_S, hedge_after=PATIENT_S, registry=registry) as client:
        await_servers(client, 2)
        for document in sample[:10]:
            client.classify(document)
        assert registry.get_sample_value("clf_client_servers", {"ready": "yes"}) == 2.0
    assert registry.get_sample_value("clf_client_calls_total", {"code": "OK"}) == 10.0
    assert registry.get_sample_value("clf_client_won_total", {"number": "1"}) == 10.0
    assert registry.get_sample_value("clf_client_latency_seconds_count") == 10.0
    wait_until(lambda: sum(server.metric(line) for server in servers) == before + 10.0, "servers counted the calls")


# --- servers in trouble ------------------------------------------------------------------------------------------


def test_one_of_two_servers_freezes(servers: list[ServeProcess], sample: list[Document]) -> None:
    """Under a steady trickle every call is answered, nearly all in the budget, because others are asked after 20 ms."""
    seconds = []
    with ClassifierClient([server.grpc for server in servers], timeout=PATIENT_S) as client:
        await_servers(client, 2)
        began = CLOCK.monotonic()
        with frozen(servers[0]):
            for number in range(200):
                CLOCK.sleep(max(0.0, began + number * 0.02 - CLOCK.monotonic()))
                sent = CLOCK.monotonic()
                client.classify(sample[number % len(sample)])
                seconds.append(CLOCK.monotonic() - sent)
            wait_until(lambda: metric(client, "clf_client_servers", ready="no") == 1, "the frozen one is not ready")
        in_time = sum(taken <= BUDGET_S for taken in seconds)
        further = [metric(client, "clf_client_attempts_total", number=number) for number in "234"]
        await_servers(client, 2)
    assert in_time >= 0.95 * len(seconds), sorted(seconds)[-20:]
    assert 1 <= sum(further) <= 40  # a tenth of the calls, and a burst of 20
    assert metric(client, "clf_client_won_total", number="2") >= 1


def test_the_only_server_freezes(servers: list[ServeProcess], sample: list[Document]) -> None:
    """A call ends when its time is over, not later; and when the server thaws, it is answered as before."""
    with ClassifierClient(servers[0].grpc, timeout=BUDGET_S) as client:
        with frozen(servers[0]):
            began = CLOCK.monotonic()
            error = failure(client, sample[0])
            seconds = CLOCK.monotonic() - began
        assert str(error) == "DEADLINE_EXCEEDED: no server answered in time"
        assert 1 < error.attempts <= 4
        assert BUDGET_S <= seconds < BUDGET_S + MARGIN_S
        assert client.classify(sample[0], timeout=PATIENT_S).url == sample[0].url


def test_a_dead_address_costs_nothing(servers: list[ServeProcess], sample: list[Document]) -> None:
    """An address where nobody listens is passed over: no attempt goes there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    with ClassifierClient([dead, servers[0].grpc], timeout=PATIENT_S, hedge_after=PATIENT_S) as client:
        for document in sample[:50]:
            client.classify(document)
        assert metric(client, "clf_client_attempts_total", number="1") == 50.0
        assert metric(client, "clf_client_attempts_total", number="2") == 0.0
        assert metric(client, "clf_client_servers", ready="no") == 1.0


@dataclass
class Load:
    """Calls from several threads, one after the other, until it is stopped."""

    client: ClassifierClient
    documents: list[Document]
    answered: int = 0
    errors: list[Exception] = field(default_factory=list)
    stopping: bool = False

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        """Call inside the `with` block."""
        callers = [threading.Thread(target=self._call) for _ in range(threads)]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            self.stopping = True
            for caller in callers:
                caller.join()

    def _call(self) -> None:
        for number in count():
            if self.stopping:
                return
            try:
                self.client.classify(self.documents[number % len(self.documents)])
                self.answered += 1
            except ClassifierError as error:
                self.errors.append(error)


def test_a_rolling_restart(sample: list[Document], tmp_path: Path) -> None:
    """Two servers restart one after the other, on their ports, under load, and not one call fails."""
    with ExitStack() as stack:

        def start(name: str, port: str = "0") -> ServeProcess:
            return stack.enter_context(ServeProcess(tmp_path / name, ["--no-scoring", "--grpc-port", port]))

        servers = {name: start(name) for name in "ab"}
        ports = {name: server.grpc.rpartition(":")[2] for name, server in servers.items()}
        client = stack.enter_context(ClassifierClient([s.grpc for s in servers.values()], timeout=PATIENT_S))
        load = Load(client, sample)
        with load.running(threads=3):
            for name, server in servers.items():
                await_servers(client, 2)
                assert server.terminate() == 0
                await_servers(client, 1)
                start(name, ports[name])
            await_servers(client, 2)
        assert load.errors == []
        assert load.answered > 100


def test_a_server_that_stops_says_so_first(sample: list[Document], tmp_path: Path) -> None:
    """After SIGTERM it turns not ready for the client while it still answers, and then it goes, cleanly."""
    with (
        ServeProcess(tmp_path / "a", ["--no-scoring", "--lame-duck", "1.5"]) as server,
        ClassifierClient(server.grpc, timeout=PATIENT_S) as client,
    ):
        assert client.ready
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not client.ready, "the client knows")
        assert server.process.poll() is None
        assert server.process.wait(PATIENT_S) == 0
        assert str(failure(client, sample[0], BUDGET_S)) == "DEADLINE_EXCEEDED: no server is ready"


# --- TLS ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """One, in files and for a client."""

    authority: trustme.CA
    issued: trustme.LeafCert

    def write(self, directory: Path) -> tuple[str, str, str]:
        """Certificate chain, key and authority in files."""
        paths = [directory / name for name in ("chain.pem", "key.pem", "authority.pem")]
        self.issued.private_key_and_cert_chain_pem.write_to_path(paths[0])
        self.issued.private_key_pem.write_to_path(paths[1])
        self.authority.cert_pem.write_to_path(paths[2])
        return str(paths[0]), str(paths[1]), str(paths[2])

    def credentials(self, *, own: bool) -> grpc.ChannelCredentials:
        """What trusts its authority, and shows it if `own`."""
        shown = [self.issued.private_key_pem.bytes(), self.issued.cert_chain_pems[0].bytes()] if own else [None, None]
        return grpc.ssl_channel_credentials(self.authority.cert_pem.bytes(), *shown)


def certificate(*names: str) -> Certificate:
    """One of an authority of its own."""
    authority = trustme.CA()
    return Certificate(authority, authority.issue_cert(*names))


def answers(target: str, security: Security, document: Document) -> bool:
    """Whether a client connects that way; one that does not says that no server is ready."""
    with ClassifierClient(target, security=security, connect_timeout=0.5) as client:
        if client.ready:
            return client.classify(document, PATIENT_S).url == document.url
        assert str(failure(client, document)) == "DEADLINE_EXCEEDED: no server is ready"
        return False


def test_tls(sample: list[Document], tmp_path: Path) -> None:
    """The certificate must be for the address, or for the name that is expected, and from who is trusted."""
    ours, other = certificate("127.0.0.1", NAME), certificate("127.0.0.1")
    chain, key, _ = ours.write(tmp_path)
    options = ["--no-scoring", "--tls-cert", chain, "--tls-key", key]
    trusting = ours.credentials(own=False)
    with ServeProcess(tmp_path / "a", options) as server:
        assert answers(server.grpc, Security(trusting), sample[0])
        assert answers(server.grpc, Security(trusting, NAME), sample[0])
        assert not answers(server.grpc, Security(trusting, "another.example"), sample[0])
        assert not answers(server.grpc, Security(other.credentials(own=False)), sample[0])
        assert not answers(server.grpc, Security(), sample[0])


def test_mutual_tls(sample: list[Document], tmp_path: Path) -> None:
    """A server that asks for certificates answers only who shows one from the right authority."""
    ours = certificate("127.0.0.1")
    chain, key, authority = ours.write(tmp_path)
    options = ["--no-scoring", "--tls-cert", chain, "--tls-key", key, "--tls-client-ca", authority]
    stranger = Certificate(ours.authority, certificate("127.0.0.1").issued)
    with ServeProcess(tmp_path / "a", options) as server:
        assert answers(server.grpc, Security(ours.credentials(own=True)), sample[0])
        assert not answers(server.grpc, Security(ours.credentials(own=False)), sample[0])
        assert not answers(server.grpc, Security(stranger.credentials(own=True)), sample[0])

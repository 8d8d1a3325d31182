"""The encrypted port: who is let in, and certificates that are renewed while the server runs."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import trustme

from integration_tests.plain_calls import Caller, Outcome
from integration_tests.serving import ServeProcess
from integration_tests.system import wait_until
from schemas.document import Document
from worker.tests.tools import small_store

REQUEST = Document("u", "Football", "a goal", "en").to_protobuf()
NAME = "classifier.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs for servers and callers."""
    return trustme.CA()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small English model."""
    return small_store(tmp_path_factory.mktemp("small"))


@pytest.fixture
def server(store: Path, authority: trustme.CA, tmp_path: Path) -> Iterator[ServeProcess]:
    """A server that asks callers for a certificate."""
    issue(authority, tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = {"--tls-cert": "cert.pem", "--tls-key": "key.pem", "--tls-client-ca": "ca.pem"}
    options = [word for flag, name in files.items() for word in (flag, str(tmp_path / name))]
    with ServeProcess(tmp_path / "serve", ["--models", str(store), "--keep-warm", "0.1", *options]) as process:
        yield process


def issue(authority: trustme.CA, directory: Path) -> None:
    """A certificate and its key, in files: one after the other, as whoever renews does it."""
    issued = authority.issue_cert(NAME)
    issued.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
    issued.private_key_pem.write_to_path(str(directory / "key.pem"))


def trusting(trusted: trustme.CA, own: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    """Those of a caller that trusts an authority, and may have a certificate of its own."""
    if own is None:
        return grpc.ssl_channel_credentials(trusted.cert_pem.bytes())
    key, chain = own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
    return grpc.ssl_channel_credentials(trusted.cert_pem.bytes(), key, chain)


def outcome(server: ServeProcess, credentials: grpc.ChannelCredentials | None) -> Outcome:
    """How one call on a connection of its own ends."""
    with Caller(server.grpc, credentials, (("grpc.ssl_target_name_override", NAME),)) as caller:
        return caller.call(REQUEST)


def test_tls_without_certificates_of_callers(store: Path, authority: trustme.CA, tmp_path: Path) -> None:
    """Callers that trust the authority are answered; those that speak plain text, or trust another, are not."""
    issue(authority, tmp_path)
    options = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    with ServeProcess(tmp_path / "serve", ["--models", str(store), *options]) as server:
        assert outcome(server, trusting(authority)).code is grpc.StatusCode.OK
        assert outcome(server, None).code is grpc.StatusCode.UNAVAILABLE
        assert outcome(server, trusting(trustme.CA())).code is grpc.StatusCode.UNAVAILABLE
        assert outcome(server, trusting(authority)).code is grpc.StatusCode.OK
        assert server.terminate() == 0


def test_mutual_tls(server: ServeProcess, authority: trustme.CA) -> None:
    """Only callers with a certificate of the right authority are answered; the server's own calls need none."""
    own, strange = authority.issue_cert("crawler.example"), trustme.CA().issue_cert("crawler.example")
    assert outcome(server, trusting(authority, own)).code is grpc.StatusCode.OK
    assert outcome(server, trusting(authority)).code is grpc.StatusCode.UNAVAILABLE
    assert outcome(server, trusting(authority, strange)).code is grpc.StatusCode.UNAVAILABLE
    assert outcome(server, None).code is grpc.StatusCode.UNAVAILABLE
    answered = 'clf_keep_warm_calls_total{outcome="answered"}'
    before = server.metric(answered)
    wait_until(lambda: server.metric(answered) > before + 2, "synthetic calls are answered")
    assert server.metric('clf_keep_warm_calls_total{outcome="failed"}') == 0
    assert server.metric("grpc_server_started_total{") == 1, "synthetic calls and refused connections do not count"


def test_a_renewed_certificate_needs_no_restart(server: ServeProcess, tmp_path: Path) -> None:
    """New connections get the new one; until its key is there too, they get the old one."""
    fresh = trustme.CA()
    own = trustme.CA()
    first = outcome(server, trusting(fresh, own.issue_cert("crawler.example")))
    assert first.code is grpc.StatusCode.UNAVAILABLE
    issued = fresh.issue_cert(NAME)
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    own.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert outcome(server, trusting(fresh, own.issue_cert("crawler.example"))).code is grpc.StatusCode.UNAVAILABLE
    assert server.events("certificate_not_renewed")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    assert outcome(server, trusting(fresh, own.issue_cert("crawler.example"))).code is grpc.StatusCode.OK
    assert server.events("certificate_renewed")
    assert server.terminate() == 0

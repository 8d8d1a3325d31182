"""The certificate of the gRPC port: what is refused and in which words, and what happens when files are renewed."""

import os
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from worker.config import Tls
from worker.serve.tls import TlsError, _Files, credentials

PASSPHRASE = b"hunter2"


class Pair(NamedTuple):
    """A certificate and its key, in PEM."""

    cert: bytes
    key: bytes


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs."""
    return trustme.CA()


@pytest.fixture(scope="session")
def pairs(authority: trustme.CA) -> tuple[Pair, Pair]:
    """Two certificates for one name, each with its own key."""
    issued = [authority.issue_cert("localhost") for _ in range(2)]
    first, second = (Pair(cert.cert_chain_pems[0].bytes(), cert.private_key_pem.bytes()) for cert in issued)
    return first, second


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA, pairs: tuple[Pair, Pair]) -> Tls:
    """The first pair and its authority, on disk."""
    config = Tls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    write(config, *pairs[0])
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    return config


def write(config: Tls, cert: bytes, key: bytes) -> None:
    """Replace both files as one does who renews: each at once, by another one."""
    for path, content in ((config.tls_cert, cert), (config.tls_key, key)):
        assert path is not None
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)


def loaded(config: Tls) -> _Files:
    """The files as the server holds them, read once."""
    assert config.tls_cert is not None
    assert config.tls_key is not None
    found = _Files(config.tls_cert, config.tls_key, config.tls_client_ca)
    found.read()
    return found


def encrypted(key: bytes) -> bytes:
    """The same key, with a passphrase."""
    loaded_key = load_pem_private_key(key, None)
    return loaded_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PASSPHRASE))


# --- at the start --------------------------------------------------------------------------------------------


def test_without_files_the_port_is_plain() -> None:
    """No option, no encryption."""
    assert credentials(Tls()) is None


def test_sound_files_make_credentials(files: Tls) -> None:
    """With and without certificates of callers."""
    assert isinstance(credentials(files), grpc.ServerCredentials)
    assert isinstance(credentials(Tls(files.tls_cert, files.tls_key)), grpc.ServerCredentials)


@pytest.mark.parametrize("given", [("tls_cert",), ("tls_key",), ("tls_client_ca",), ("tls_cert", "tls_client_ca")])
def test_half_of_a_pair_is_told(files: Tls, given: tuple[str, ...]) -> None:
    """A server that was meant to be encrypted does not start as plain text."""
    config = Tls(**{name: getattr(files, name) for name in given})
    with pytest.raises(TlsError, match="TLS needs both --tls-cert and --tls-key"):
        credentials(config)


def test_the_key_of_another_certificate(files: Tls, pairs: tuple[Pair, Pair]) -> None:
    """It is refused with the names of the files and what does not match."""
    write(files, pairs[0].cert, pairs[1].key)
    with pytest.raises(TlsError, match=r"(?i)key values mismatch") as caught:
        credentials(files)
    assert all(str(path) in str(caught.value) for path in (files.tls_cert, files.tls_key, files.tls_client_ca))


def test_a_key_with_a_passphrase(files: Tls, pairs: tuple[Pair, Pair]) -> None:
    """Nobody is there to type it: it is refused with what to do, and without a prompt."""
    write(files, pairs[0].cert, encrypted(pairs[0].key))
    with pytest.raises(TlsError, match="the private key is encrypted; give it without a passphrase"):
        credentials(files)


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_that_is_no_pem(files: Tls, name: str, content: bytes) -> None:
    """It is refused with its name, at the start rather than at the first connection."""
    path: Path = getattr(files, name)
    path.write_bytes(content)
    with pytest.raises(TlsError, match=f"{path}.* cannot be used for TLS: .+"):
        credentials(files)


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
def test_a_file_that_is_gone(files: Tls, name: str) -> None:
    """The option was checked, but the file went since: the same error as for any other bad file."""
    path: Path = getattr(files, name)
    path.unlink()
    with pytest.raises(TlsError, match="No such file"):
        credentials(files)


# --- while it runs -------------------------------------------------------------------------------------------


def test_nothing_new_is_nothing(files: Tls) -> None:
    """For most connections there is nothing to do but to look at the files' times."""
    held = loaded(files)
    with capture_logs() as logged:
        assert held.read_if_changed() is None
        assert held.read_if_changed() is None
    assert logged == []


def test_a_renewed_pair_is_taken(files: Tls, pairs: tuple[Pair, Pair]) -> None:
    """Once, and told once."""
    held = loaded(files)
    write(files, *pairs[1])
    with capture_logs() as logged:
        assert held.read_if_changed() is not None
        assert held.read_if_changed() is None
    assert [entry["event"] for entry in logged] == ["certificate_renewed"]


def test_a_changed_authority_is_taken(files: Tls) -> None:
    """Callers' certificates are checked against what is in the file now."""
    held = loaded(files)
    assert files.tls_client_ca is not None
    files.tls_client_ca.write_bytes(trustme.CA().cert_pem.bytes())
    assert held.read_if_changed() is not None


def test_a_half_renewed_pair_keeps_the_old_one(files: Tls, pairs: tuple[Pair, Pair]) -> None:
    """A new certificate without its key yet is left alone, told, and taken as soon as the key is there."""
    held = loaded(files)
    write(files, pairs[1].cert, pairs[0].key)
    with capture_logs() as logged:
        assert held.read_if_changed() is None
        write(files, *pairs[1])
        assert held.read_if_changed() is not None
    assert [entry["event"] for entry in logged] == ["certificate_not_renewed", "certificate_renewed"]


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
def test_a_half_written_file_keeps_the_old_one(files: Tls, name: str) -> None:
    """A file that is being written in place is left alone until it is whole."""
    held = loaded(files)
    path: Path = getattr(files, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with capture_logs() as logged:
        assert held.read_if_changed() is None
        path.write_bytes(whole)
        os.utime(path, ns=(1, 1))  # the clock of the file system may be coarse
        assert held.read_if_changed() is not None
    assert logged[0]["event"] == "certificate_not_renewed"


def test_files_that_are_gone_keep_the_old_one(files: Tls) -> None:
    """A volume that is mounted anew is empty for a moment."""
    held = loaded(files)
    assert files.tls_key is not None
    files.tls_key.rename(files.tls_key.with_suffix(".away"))
    with capture_logs() as logged:
        assert held.read_if_changed() is None
        files.tls_key.with_suffix(".away").rename(files.tls_key)
        assert held.read_if_changed() is None, "it is the file that is in use"
    assert [entry["event"] for entry in logged] == ["certificate_not_renewed"]


def test_no_key_reaches_the_log(files: Tls, pairs: tuple[Pair, Pair]) -> None:
    """Neither a refusal nor a renewal quotes a file."""
    held = loaded(files)
    with capture_logs() as logged:
        write(files, pairs[1].cert, pairs[0].key)
        held.read_if_changed()
        write(files, *pairs[1])
        held.read_if_changed()
    lines = {line for pair in pairs for text in pair for line in text.decode().splitlines() if "-----" not in line}
    assert not [line for line in lines if line in str(logged)]

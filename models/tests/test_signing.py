"""Signed bundles: whose are loaded, and that no byte can change unnoticed."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.bundle import BundleContent, BundleError, BundleProblem, write_bundle
from models.manifest import MANIFEST_NAME, SIGNATURE_NAME
from models.opening import open_store
from models.push import push
from models.remote import RemoteStore
from models.signing import TrustedKeys, generate_keys, sign_bundle
from models.store import ModelRefusedError, Store, StoreError
from models.tests.conftest import Tamper
from models.tests.remote_stores import Told


class Keys:
    """Key pairs in a directory, by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def new(self, name: str) -> Path:
        """A new pair; returns its private key."""
        private, public = self.directory / f"{name}.pem", self.directory / f"{name}.pub.pem"
        generate_keys(private, public)
        return private

    def trust(self, *names: str) -> Path:
        """A file with these public keys, in this order; the same file at every call."""
        path = self.directory / "trusted.pem"
        blocks = [(self.directory / f"{name}.pub.pem").read_text("ascii") for name in names]
        path.write_text("Comments are ignored.\n" + "\n".join(blocks), encoding="ascii")
        return path


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Two pairs, `one` and `two`."""
    keys = Keys(tmp_path)
    keys.new("one")
    keys.new("two")
    return keys


@pytest.fixture
def signed(bundle: Path, keys: Keys) -> Path:
    """`bundle`, signed with `one`."""
    sign_bundle(bundle, keys.directory / "one.pem")
    return bundle


def store_of(bundle: Path, trusted: Path | None) -> Store:
    """The store that a bundle is in."""
    return open_store(str(bundle.parents[1]), trusted_keys=trusted)


def refusal(bundle: Path, trusted: Path) -> BundleProblem:
    """Why the bundle is refused."""
    with pytest.raises(ModelRefusedError) as caught:
        store_of(bundle, trusted).load("en", "v1")
    assert caught.value.reason in str(caught.value)
    return caught.value.reason


def test_a_signed_bundle_is_loaded(signed: Path, keys: Keys) -> None:
    """By who trusts the key; the signature is 64 plain bytes over the manifest as it is."""
    store = store_of(signed, keys.trust("one"))
    for ask in (store.load, store.verify, store.activate):
        assert ask("en", "v1").version == "v1"
    signature = (signed / SIGNATURE_NAME).read_bytes()
    assert len(signature) == 64
    public = serialization.load_pem_private_key((keys.directory / "one.pem").read_bytes(), None).public_key()
    public.verify(signature, (signed / MANIFEST_NAME).read_bytes())  # type: ignore[call-arg, union-attr] # of this kind


def test_an_unsigned_bundle_is_refused(bundle: Path, keys: Keys) -> None:
    """Loading, verifying and activating say `unsigned`; the active version stays what it was."""
    store = store_of(bundle, keys.trust("one"))
    for ask in (store.load, store.verify, store.activate):
        with pytest.raises(ModelRefusedError, match=r"refused \(unsigned\).*clf models sign"):
            ask("en", "v1")
    assert store.active("en") is None


def test_without_keys_signatures_are_ignored(signed: Path) -> None:
    """Nobody looks at a signature, however wrong, unless keys are named."""
    (signed / SIGNATURE_NAME).write_bytes(b"nonsense")
    assert store_of(signed, None).load("en", "v1").version == "v1"


def test_every_flipped_bit_is_found(signed: Path, keys: Keys) -> None:
    """One changed bit in any file, manifest and signature included, wherever in it: the bundle is refused."""
    trusted = keys.trust("one")
    for path in sorted(signed.iterdir()):
        data = path.read_bytes()
        expected = (
            {BundleProblem.BAD_SIGNATURE}
            if path.name in (MANIFEST_NAME, SIGNATURE_NAME)
            else {BundleProblem.HASH_MISMATCH}
        )
        for where in {0, len(data) // 2, len(data) - 1}:
            path.write_bytes(data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :])
            assert refusal(signed, trusted) in expected, f"{path.name} at {where}"
        path.write_bytes(data)
    assert store_of(signed, trusted).load("en", "v1").version == "v1"


def test_every_byte_of_the_manifest_counts(signed: Path, keys: Keys) -> None:
    """Also those that the digest leaves out, such as the version and the white space."""
    path = signed / MANIFEST_NAME
    data = path.read_bytes()
    for changed in (data.replace(b'"v1"', b'"v2"'), data + b" ", data.replace(b"\n", b"\r\n"), b""):
        assert changed != data
        path.write_bytes(changed)
        assert refusal(signed, keys.trust("one")) is BundleProblem.BAD_SIGNATURE


def test_a_file_changed_with_its_hashes(signed: Path, keys: Keys) -> None:
    """Who can correct hashes and digest, but has no key, gets nothing loaded."""
    Tamper(signed).set(thresholds=[0.0, 0.0, 0.0])
    assert refusal(signed, keys.trust("one")) is BundleProblem.BAD_SIGNATURE
    assert store_of(signed, None).load("en", "v1").thresholds == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\0" * 63, b"\xff" * 1000])
def test_what_is_no_signature(signed: Path, keys: Keys, signature: bytes) -> None:
    """A file of any other content is a bad signature."""
    (signed / SIGNATURE_NAME).write_bytes(signature)
    assert refusal(signed, keys.trust("one")) is BundleProblem.BAD_SIGNATURE


def test_the_signature_of_another_bundle(signed: Path, keys: Keys, content: BundleContent) -> None:
    """A signature fits one bundle only, and a signed bundle one place only."""
    other = signed.with_name("v2")
    write_bundle(other, "v2", replace(content, thresholds=(0.6, 0.6, 0.6)))
    (other / SIGNATURE_NAME).write_bytes((signed / SIGNATURE_NAME).read_bytes())
    store = store_of(signed, keys.trust("one"))
    with pytest.raises(ModelRefusedError, match="bad_signature"):
        store.load("en", "v2")
    signed.rename(signed.with_name("v3"))
    with pytest.raises(StoreError, match="says that it is version 'v1'"):
        store.load("en", "v3")


def test_keys_are_rotated_while_a_store_is_open(signed: Path, keys: Keys) -> None:
    """The file of keys is read at every load: a new key is added, models are signed anew, the old one withdrawn."""
    store = store_of(signed, keys.trust("one"))
    keys.trust("one", "two")
    assert store.load("en", "v1").version == "v1"
    sign_bundle(signed, keys.directory / "two.pem")
    assert store.load("en", "v1").version == "v1"
    keys.trust("two")
    assert store.load("en", "v1").version == "v1"
    keys.trust("one")
    with pytest.raises(ModelRefusedError, match="bad_signature"):
        store.load("en", "v1")


def test_a_key_file_that_is_damaged_later(signed: Path, keys: Keys) -> None:
    """Then nothing is loaded any more, and the refusal names the file."""
    trusted = keys.trust("one")
    store = store_of(signed, trusted)
    trusted.write_text("", encoding="ascii")
    with pytest.raises(ModelRefusedError, match=rf"refused \(key_unusable\).*{trusted.name}"):
        store.load("en", "v1")


def test_key_files_that_are_none(bundle: Path, keys: Keys) -> None:
    """Refused when the store is opened: empty, missing, secret, cut off, of another kind, or one of several so."""
    private, public = (keys.directory / name for name in ("one.pem", "one.pub.pem"))
    other = generate_private_key(SECP256R1()).public_key()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = public.read_bytes()
    path = keys.directory / "keys.pem"
    for data in (
        b"", b"nothing", private.read_bytes(), good + private.read_bytes(), other.public_bytes(*form),
        good + other.public_bytes(*form), good[:-30], good + good[:-30], good.replace(b"MCow", b"MCox"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(StoreError, match=r"key file .*keys.pem cannot be used"):
            store_of(bundle, path)
    with pytest.raises(StoreError, match="No such file"):
        store_of(bundle, keys.directory / "nothing.pem")


def test_private_keys_that_are_none(bundle: Path, keys: Keys) -> None:
    """Signing needs an Ed25519 private key, not encrypted, and says so; no signature is written."""
    encrypted = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = keys.directory / "key.pem"
    for data, why in ((b"", "no private key"), (encrypted, "encrypted"), (other, "no Ed25519 key")):
        path.write_bytes(data)
        with pytest.raises(BundleError, match=why):
            sign_bundle(bundle, path)
    with pytest.raises(BundleError, match="no private key"):
        sign_bundle(bundle, keys.directory / "one.pub.pem")
    assert not (bundle / SIGNATURE_NAME).exists()


def test_new_keys_are_private_and_overwrite_nothing(keys: Keys) -> None:
    """Only the owner can read the private key, and a pair that is there is never replaced, not even in part."""
    private, public = (keys.directory / name for name in ("one.pem", "one.pub.pem"))
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    before = private.read_bytes(), public.read_bytes()
    for gone in (public, private):
        gone.unlink()
        with pytest.raises(BundleError, match="never overwritten"):
            generate_keys(private, public)
        assert not gone.exists()
        private.write_bytes(before[0])
        public.write_bytes(before[1])


def test_a_signature_can_come_later(bundle: Path, keys: Keys, tmp_path: Path) -> None:
    """A remote bundle that was copied unsigned is refused, until it is signed, pushed again and so trusted."""
    local, url, told = Store(bundle.parents[1]), f"file://{tmp_path}/origin", Told()
    push(local, "en", "v1", url)
    RemoteStore(url, tmp_path / "cache").load("en", "v1")
    remote = RemoteStore(url, tmp_path / "cache", TrustedKeys(keys.trust("one")), told)
    for _ in range(2):
        with pytest.raises(ModelRefusedError, match="unsigned"):
            remote.load("en", "v1")
    sign_bundle(bundle, keys.directory / "one.pem")
    assert not push(local, "en", "v1", url), "only the signature was missing"
    assert remote.load("en", "v1").version == "v1"
    assert len(told.copies) == 1


def test_a_remote_bundle_is_refused_before_it_is_copied(signed: Path, keys: Keys, tmp_path: Path) -> None:
    """Without the right signature nothing but the manifest is looked at, and nothing is kept."""
    url, told = f"file://{signed.parents[1]}", Told()
    remote = RemoteStore(url, tmp_path / "cache", TrustedKeys(keys.trust("two")), told)
    with pytest.raises(ModelRefusedError, match=r"refused \(bad_signature\)"):
        remote.activate("en", "v1")
    assert told.copies == []
    assert not (signed.parent / "ACTIVE").exists()
    keys.trust("one")
    assert remote.activate("en", "v1").version == "v1"

"""Signed bundles: an Ed25519 signature over the very bytes of the manifest, which holds the hash of every other file.

Imported only where there are keys: `cryptography` takes its time.
"""

import os
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from models.durable import replace_file
from models.files import read_small
from models.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SIGNATURE_NAME
from models.problems import BundleError, BundleProblem

_MAX_KEY_BYTES: Final = 1024 * 1024
_PUBLIC_KEY: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_PRIVATE_MODE, _PUBLIC_MODE = 0o600, 0o644


class TrustedKeys:
    """The public keys in a PEM file, any one of which must have signed a bundle.

    The file is read at every check, so that keys can be added and withdrawn while a process runs.

    Args:
        path: the file, with one `PUBLIC KEY` block or several.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Find out at once whether the file can be used.

        Raises:
            BundleError: KEY_UNUSABLE.
        """
        self._read()

    def require(self, where: object, manifest: bytes, signature: bytes | None) -> None:
        """Refuse a bundle that none of the keys has signed; the arguments are those of `models.reader.Trust`.

        Raises:
            BundleError: UNSIGNED, BAD_SIGNATURE or KEY_UNUSABLE.
        """
        keys = self._read()
        if signature is None:
            raise BundleError(
                BundleProblem.UNSIGNED,
                f"{where} has no {SIGNATURE_NAME}, and {self.path} asks for a signature. Sign it: clf models sign.",
            )
        if not any(_is_signed_by(key, manifest, signature) for key in keys):
            raise BundleError(
                BundleProblem.BAD_SIGNATURE,
                f"The {SIGNATURE_NAME} of {where} is not that of a key in {self.path} for this {MANIFEST_NAME}. "
                "Either the bundle was changed, or another key has signed it. Do not use it before you know.",
            )

    def _read(self) -> list[Ed25519PublicKey]:
        data = _read_key_file(self.path)
        blocks = _PUBLIC_KEY.findall(data)
        try:
            keys = [serialization.load_pem_public_key(block) for block in blocks]
        except Exception as error:  # the library names ValueError and its own, and a key file may hold anything
            raise _unusable(self.path, f"one of its public keys is damaged ({error})") from error
        found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
        if not found or len(found) != data.count(b"-----BEGIN"):
            raise _unusable(self.path, "it must hold Ed25519 public keys in PEM, one at least, and nothing else")
        return found


def sign_bundle(directory: Path, private_key: Path) -> None:
    """Write the signature of a bundle: 64 bytes over its `manifest.json` as it stands.

    The bundle should have been verified before. A signature that is there is replaced in one step.

    Raises:
        BundleError: KEY_UNUSABLE, or the manifest cannot be read, or WRITE_FAILED.
    """
    key = _read_private_key(private_key)
    manifest = read_small(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES, BundleProblem.MANIFEST_MISSING)
    path = directory / SIGNATURE_NAME
    try:
        replace_file(path, key.sign(manifest))
    except OSError as error:
        raise BundleError(BundleProblem.WRITE_FAILED, f"{path} could not be written: {error}.") from error


def generate_keys(private_path: Path, public_path: Path) -> None:
    """Write a new key pair: PKCS#8 in PEM that only its owner may read, and the public key in PEM.

    Raises:
        BundleError: KEY_UNUSABLE, one of the files exists, which is never overwritten, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(public_path, public, _PUBLIC_MODE)
    try:
        _write_new(private_path, private, _PRIVATE_MODE)
    except BundleError:
        public_path.unlink()
        raise


def _is_signed_by(key: Ed25519PublicKey, manifest: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        return False
    return True


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read_key_file(path), password=None)
    except TypeError as error:
        raise _unusable(path, "it is encrypted; decrypt it first") from error
    except ValueError as error:
        raise _unusable(path, "it holds no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "it is no Ed25519 key; make one with clf models keygen")
    return key


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise _unusable(path, str(error)) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _unusable(path, f"it cannot be written: {error}; a key is never overwritten") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unusable(path, f"it cannot be written: {error}") from error


def _unusable(path: Path, why: str) -> BundleError:
    return BundleError(BundleProblem.KEY_UNUSABLE, f"The key file {path} cannot be used: {why}.")

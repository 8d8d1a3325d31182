"""Publishing a bundle: from a local store to one behind a URL, the manifest last."""

import hashlib
from pathlib import Path

from models.bundle import BundleError, FileEntry
from models.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, SIGNATURE_NAME
from models.reader import read_signature
from models.remote_files import RemoteFiles
from models.store import ModelRefusedError, Store, StoreError
from models.watching import LOGGED, Advance, Watch


def push(store: Store, lang: str, version: str, url: str, watch: Watch = LOGGED) -> bool:
    """Copy a verified bundle of a local store to the store at `url`, signature included.

    Nobody sees it there before its manifest, which comes last, after every other file was read back and found right.
    A version that is there stays as it is; only a signature is added or renewed. A push that broke off is repeated.

    Returns:
        Whether it was copied; False when it was there already.

    Raises:
        StoreError: it is refused here, another bundle has its name there, or the store cannot be written to.
    """
    files, place = RemoteFiles(url), f"{lang}/{version}"
    store.verify(lang, version)
    directory, manifest = store.path(lang, version), store.manifest(lang, version)
    data = store.manifest_bytes(lang, version)
    found = files.find(f"{place}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
    if found not in (None, data):
        raise StoreError(
            f"{files.url}/{place} is another model, and a version is never overwritten. Train under another name, or "
            "delete that one."
        )
    if found is None:
        total = sum(entry.size for entry in manifest.files.values())
        with watch.copying(f"{files.url}/{place}", total) as advance:
            for name, entry in manifest.files.items():
                _push_file(files, directory / name, f"{place}/{name}", entry, advance)
    _push_signature(files, directory, place)
    if found is None:
        files.write(f"{place}/{MANIFEST_NAME}", data)
    return found is None


def _push_file(files: RemoteFiles, source: Path, name: str, entry: FileEntry, advance: Advance) -> None:
    files.upload(source, name)
    digest = hashlib.sha256()
    for chunk in files.chunks(name) or ():
        digest.update(chunk)
        advance(len(chunk))
    if digest.hexdigest() != entry.sha256:
        raise StoreError(f"{files.url}/{name} was written, and something else is read there. Push it again.")


def _push_signature(files: RemoteFiles, directory: Path, place: str) -> None:
    try:
        signature = read_signature(directory)
    except BundleError as error:
        raise ModelRefusedError(directory, error) from error
    name = f"{place}/{SIGNATURE_NAME}"
    if signature is not None and files.find(name, MAX_SIGNATURE_BYTES) != signature:
        files.write(name, signature)

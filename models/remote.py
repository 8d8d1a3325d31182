"""A store behind a URL: bundles are copied into a local cache, verified there, and opened from there."""

import hashlib
import re
from pathlib import Path
from typing import Final, NoReturn

from models.bundle import BundleError, BundleProblem, FileEntry, Manifest
from models.cache import identity, locked, publish, require_space, unfinished
from models.durable import replace_file
from models.files import verify_file
from models.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE_NAME,
    is_language,
    is_safe_name,
)
from models.model import Model
from models.reader import Trust, read_signature, verify_sha256_of_files
from models.remote_files import RemoteFiles, UnreachableError
from models.store import (
    ACTIVE_NAME,
    MAX_ACTIVE_BYTES,
    ModelRefusedError,
    Store,
    StoreError,
    active_version,
    require_place,
)
from models.watching import LOGGED, Advance, Watch

# Refusals that have nothing to do with the bytes of a bundle.
_ELSEWHERE: Final = frozenset({BundleProblem.SCORER_UNAVAILABLE, BundleProblem.KEY_UNUSABLE})


class RemoteStore(Store):
    """The store at a URL, laid out as a local one, and its copy in a directory of its own below `cache`.

    While the store does not answer, what is in the cache is used: the versions that were last loaded as active ones.

    Args:
        url: the root, such as "s3://bucket/models".
        cache: a directory for the copies of any number of stores.
        trust: as for `Store`.
        watch: told how far a copy has come, and of what went wrong.

    Raises:
        StoreError: no file system of that kind is known or installed.
    """

    def __init__(self, url: str, cache: Path, trust: Trust | None = None, watch: Watch = LOGGED) -> None:
        self._files = RemoteFiles(url)
        super().__init__(cache / _directory_name(self._files.url), trust)
        self.where = self._files.url
        self._copies = Store(self.root, trust)
        self._watch = watch
        self._away = False
        self._announced: dict[str, str] = {}

    def languages(self) -> list[str]:
        """The languages of the store, sorted; those of the cache while the store is away."""
        try:
            names = self._files.names()
        except UnreachableError as error:
            return self._remembered(error)
        return [name for name in names if is_language(name)]

    def activated(self) -> list[str]:
        """The languages that may have an active version; `active` tells."""
        return self.languages()

    def versions(self, lang: str) -> list[str]:
        """The versions of a language, sorted; those of the cache while the store is away."""
        self._language_path(lang)
        try:
            names = self._files.names(lang)
            return [name for name in names if self._is_version(lang, name)]
        except UnreachableError as error:
            self._warn(error)
            return self._copies.versions(lang)

    def manifest_bytes(self, lang: str, version: str) -> bytes:
        """The manifest of one bundle, for which nothing else is copied."""
        if identity(self.path(lang, version) / MANIFEST_NAME) is not None:
            return self._copies.manifest_bytes(lang, version)
        return self._read_manifest(lang, version)

    def load(self, lang: str, version: str) -> Model:
        """Load one bundle from the cache, to which it is copied first where it is missing or damaged.

        Raises:
            StoreError: there is no such version, it is refused, or it is not in the cache and cannot be copied.
        """
        model = self._load(lang, version)
        if self._announced.get(lang) == version:
            self._remember(lang)
        return model

    def verify(self, lang: str, version: str) -> Model:
        """Copy one bundle anew, whatever the cache has, and load it; the SHA-256 of its files is checked on the way."""
        self._fetch(lang, version, identity(self.path(lang, version)))
        return self._copies.verify(lang, version)

    def active(self, lang: str) -> str | None:
        """The active version of a language; the last one that is known and in the cache while the store is away.

        Raises:
            StoreError: the file that says so is damaged, or the store is away and nothing is known.
        """
        self._language_path(lang)
        name = f"{lang}/{ACTIVE_NAME}"
        try:
            data = self._files.read(name, MAX_ACTIVE_BYTES)
        except UnreachableError as error:
            known = self._known(lang)
            if known is None:
                self._refuse_start(error)
            self._warn(error)
            return known
        self._away = False
        version = None if data is None else active_version(data, f"{self.where}/{name}", lang)
        if version is not None:
            self._announced[lang] = version
            self._remember(lang)
        return version

    def activate(self, lang: str, version: str) -> Model:
        """Make a version the active one in the store itself, after it has been copied anew and verified here."""
        model = self.verify(lang, version)
        self._files.write(f"{lang}/{ACTIVE_NAME}", f"{version}\n".encode())
        self._announced[lang] = version
        self._remember(lang)
        return model

    def load_active(self) -> dict[str, Model]:
        """The active model of every language that has one; from the cache alone while the store is away."""
        try:
            names = self._files.names()
        except UnreachableError as error:
            self._remembered(error)
            return self._copies.load_active()
        models = {lang: self._load_active_of(lang) for lang in names if is_language(lang)}
        return {lang: model for lang, model in models.items() if model is not None}

    def _load_active_of(self, lang: str) -> Model | None:
        version = self.active(lang)
        if version is None:
            return None
        try:
            model = self.load(lang, version)
        except UnreachableError as error:
            known = self._known(lang)
            if known is None:
                self._refuse_start(error)
            self._warn(error)
            return self._copies.load(lang, known)
        return model

    def _load(self, lang: str, version: str) -> Model:
        path = self.path(lang, version)
        found = identity(path)
        if identity(path / MANIFEST_NAME) is None:
            self._fetch(lang, version, found)
            return self._copies.load(lang, version)
        try:
            return self._copies.load(lang, version)
        except ModelRefusedError as refusal:
            if refusal.reason in _ELSEWHERE:
                raise
            try:
                if self._is_as_published(lang, version):
                    raise
                self._watch.warn(f"{refusal} It is copied again from {self.where}.")
                self._fetch(lang, version, found)
            except UnreachableError as error:
                raise StoreError(f"{refusal} It could not be copied again: {error}") from error
        return self._copies.load(lang, version)

    # --- copying ------------------------------------------------------------------------------------------------

    def _fetch(self, lang: str, version: str, found: int | None) -> None:
        """Copy a bundle, in place of the directory that was `found`; another process may be quicker.

        Raises:
            StoreError: it is not there, refused, or cannot be written. UnreachableError: the store is away.
        """
        path = self.path(lang, version)
        try:
            with locked(path.parent):
                if identity(path) == found:
                    with unfinished(path) as temporary:
                        self._copy(lang, version, temporary)
                        publish(temporary, path)
        except OSError as error:
            raise StoreError(
                f"The model {self.where}/{lang}/{version} could not be copied to {path}: {error}. Make room there, or "
                "name another directory with --model-cache."
            ) from error

    def _copy(self, lang: str, version: str, target: Path) -> None:
        """Copy what the manifest names, and nothing else, to `target`."""
        where = f"{self.where}/{lang}/{version}"
        data = self._read_manifest(lang, version)
        signature = self._read_signature(lang, version)
        try:
            if self._trust is not None:
                self._trust.require(where, data, signature)
            manifest = Manifest.from_json(data)
            require_place(self.path(lang, version), manifest)
            self._copy_files(f"{lang}/{version}", manifest, target)
            verify_sha256_of_files(target, manifest)
        except BundleError as error:
            raise ModelRefusedError(where, error) from error
        (target / MANIFEST_NAME).write_bytes(data)
        if signature is not None:
            (target / SIGNATURE_NAME).write_bytes(signature)

    def _copy_files(self, source: str, manifest: Manifest, target: Path) -> None:
        total = sum(entry.size for entry in manifest.files.values())
        require_space(target, total)
        with self._watch.copying(f"{self.where}/{source}", total) as advance:
            for name, entry in manifest.files.items():
                self._copy_file(f"{source}/{name}", target / name, entry, advance)

    def _copy_file(self, source: str, target: Path, entry: FileEntry, advance: Advance) -> None:
        chunks = self._files.chunks(source)
        if chunks is None:
            raise BundleError(BundleProblem.FILE_MISSING, f"There is no file {self.where}/{source}.")
        left = entry.size
        with target.open("xb") as file:
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    break
                file.write(chunk)
                advance(len(chunk))
        if left:
            raise BundleError(
                BundleProblem.SIZE_MISMATCH,
                f"{self.where}/{source} does not have the {entry.size} bytes that the manifest says.",
            )

    def _read_manifest(self, lang: str, version: str) -> bytes:
        data = self._files.read(f"{lang}/{version}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
        if data is None:
            known = ", ".join(self.versions(lang)) or "none"
            raise StoreError(f"There is no version {version!r} of {lang!r} in {self.where}. There is: {known}.")
        return data

    def _read_signature(self, lang: str, version: str) -> bytes | None:
        return self._files.read(f"{lang}/{version}/{SIGNATURE_NAME}", MAX_SIGNATURE_BYTES)

    def _is_as_published(self, lang: str, version: str) -> bool:
        """Whether the copy in the cache is what the store has, so that another one would be refused as well."""
        path = self.path(lang, version)
        data, signature = self._read_manifest(lang, version), self._read_signature(lang, version)
        try:
            if (self._copies.manifest_bytes(lang, version), read_signature(path)) != (data, signature):
                return False
            for name, entry in Manifest.from_json(data).files.items():
                verify_file(path / name, entry)
        except (BundleError, StoreError):
            return False
        return True

    def _is_version(self, lang: str, name: str) -> bool:
        return is_safe_name(name) and name != ACTIVE_NAME and self._files.has(f"{lang}/{name}/{MANIFEST_NAME}")

    # --- while the store is away --------------------------------------------------------------------------------

    def _remember(self, lang: str) -> None:
        """Keep which version is active, once it is in the cache; that it cannot be kept stops nothing now."""
        version = self._announced[lang]
        path = self.path(lang, version)
        if identity(path) is None or self._known(lang) == version:
            return
        try:
            replace_file(path.parent / ACTIVE_NAME, f"{version}\n".encode())
        except OSError as error:
            self._watch.warn(f"That {version} is active could not be kept in {path.parent}: {error}.")

    def _known(self, lang: str) -> str | None:
        try:
            return self._copies.active(lang)
        except StoreError:
            return None  # it will be overwritten

    def _remembered(self, error: UnreachableError) -> list[str]:
        """The languages with a known active version; there must be one."""
        names = self._copies.languages() if identity(self.root) is not None else []
        known = [name for name in names if self._known(name) is not None]
        if not known:
            self._refuse_start(error)
        self._warn(error)
        return known

    def _warn(self, error: UnreachableError) -> None:
        """Once, until the store answers again."""
        if not self._away:
            self._watch.warn(f"{error} What was copied to {self.root} before is used meanwhile.")
        self._away = True

    def _refuse_start(self, error: UnreachableError) -> NoReturn:
        raise UnreachableError(
            f"{error} Nothing that could be used meanwhile was copied to {self.root} before. Check the URL, the "
            "network and the credentials, or name a directory with --models."
        ) from error


def _directory_name(url: str) -> str:
    """A name for the copies of one store that no other store has, and by which people know it."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-40:]
    return f"{words}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"

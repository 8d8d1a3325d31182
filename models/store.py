"""A store of models: `<root>/<lang>/<version>/`, and one small file per language that names the active one."""

import os
import secrets
from pathlib import Path
from typing import Final

from models.bundle import BundleError, Manifest, read_manifest
from models.durable import sync_name
from models.manifest import MANIFEST_NAME, is_language, is_safe_name
from models.model import Model, load_model
from models.reader import verify_sha256_of_files

ACTIVE_NAME: Final = "ACTIVE"
# What every command that needs models takes for `--models` when nothing else is said.
STORE_VARIABLE: Final = "CLF_MODELS"
DEFAULT_STORE: Final = Path("model-store")
_MAX_ACTIVE_BYTES: Final = 200


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message says what to do."""


class Store:
    """The bundles under one directory, which need not exist before the first is written.

    Hidden directories (unfinished bundles) and whatever else lies there are ignored.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def languages(self) -> list[str]:
        """The languages that have a bundle or an active version, sorted.

        Raises:
            StoreError: the root is missing or unreadable.
        """
        return [name for name in self._language_names() if self.versions(name) or self._has_active(name)]

    def activated(self) -> list[str]:
        """The languages with a file that names, or should name, an active version, sorted. Looks at no bundle.

        Raises:
            StoreError: the root is missing or unreadable.
        """
        return [name for name in self._language_names() if self._has_active(name)]

    def versions(self, lang: str) -> list[str]:
        """The versions of a language, sorted by name, so that timestamps are in order of time.

        Raises:
            StoreError: `lang` is not a language code, or the directory is unreadable.
        """
        names = _directories(self._language_path(lang)) or []
        return [name for name in names if is_safe_name(name) and _exists(self.root / lang / name / MANIFEST_NAME)]

    def path(self, lang: str, version: str) -> Path:
        """Where that bundle is or would be.

        Raises:
            StoreError: `lang` or `version` could not be names in a store.
        """
        if not is_safe_name(version) or version == ACTIVE_NAME:
            raise StoreError(f"{version!r} cannot be a version: use letters, digits, '.', '_' and '-', no leading dot.")
        return self._language_path(lang) / version

    def manifest(self, lang: str, version: str) -> Manifest:
        """The manifest of one bundle; quick, because no other file is read.

        Raises:
            StoreError: there is no such version, or its manifest is refused.
        """
        path = self._require(lang, version)
        try:
            manifest = read_manifest(path)
        except BundleError as error:
            raise _refusal(path, error) from error
        _require_place(path, manifest)
        return manifest

    def load(self, lang: str, version: str) -> Model:
        """Load and verify one bundle, golden scores included.

        Raises:
            StoreError: there is no such version, or it is refused.
        """
        path = self._require(lang, version)
        try:
            model = load_model(path)
        except BundleError as error:
            raise _refusal(path, error) from error
        _require_place(path, model)
        return model

    def verify(self, lang: str, version: str) -> Model:
        """Load one bundle as `load` does, and check also the SHA-256 of its files, which is there for people.

        Raises:
            StoreError: there is no such version, or it is refused.
        """
        model = self.load(lang, version)
        path = self.path(lang, version)
        try:
            verify_sha256_of_files(path, self.manifest(lang, version))
        except BundleError as error:
            raise _refusal(path, error) from error
        return model

    def active(self, lang: str) -> str | None:
        """The active version of a language; None when none was activated.

        Raises:
            StoreError: the file that says so is unreadable or damaged.
        """
        path = self._active_path(lang)
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_ACTIVE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error}. Check the disk and its permissions.") from error
        version = data.decode("utf-8", errors="replace").strip()
        if not is_safe_name(version):
            raise StoreError(f"{path} does not hold the name of a version. Run: clf models activate {lang} VERSION")
        return version

    def activate(self, lang: str, version: str) -> Model:
        """Make a version the active one, in one step, after it has been loaded and verified.

        Processes that serve take it within seconds (`worker.model_reloads`); those that were told to
        look no more (`--reload-interval 0`) keep what they have until they start again. When two
        processes activate at once, one of them wins and the file is whole.

        Raises:
            StoreError: the version is missing or refused, or the file cannot be written; the version
                that was active stays so.
        """
        model = self.load(lang, version)
        path = self._active_path(lang)
        try:
            _replace(path, f"{version}\n".encode())
        except OSError as error:
            raise StoreError(f"{path} could not be replaced: {error}. The active version is unchanged.") from error
        return model

    def load_active(self) -> dict[str, Model]:
        """The active model of every language that has one, by language code; may be empty.

        Raises:
            StoreError: the store is missing, or an active model is refused.
        """
        active = {lang: self.active(lang) for lang in self.languages()}
        return {lang: self.load(lang, version) for lang, version in active.items() if version is not None}

    def _language_names(self) -> list[str]:
        names = _directories(self.root)
        if names is None:
            raise StoreError(
                f"There is no model store at {self.root}. Train a model first (clf train), or name another directory."
            )
        return [name for name in names if is_language(name)]

    def _require(self, lang: str, version: str) -> Path:
        path = self.path(lang, version)
        if version not in self.versions(lang):
            known = ", ".join(self.versions(lang)) or "none"
            raise StoreError(f"There is no version {version!r} of {lang!r} in {self.root}. There is: {known}.")
        return path

    def _language_path(self, lang: str) -> Path:
        if not is_language(lang):
            raise StoreError(f"{lang!r} is not a normalised language code, such as 'en' or 'ckb'.")
        return self.root / lang

    def _has_active(self, lang: str) -> bool:
        return _exists(self._active_path(lang))

    def _active_path(self, lang: str) -> Path:
        return self._language_path(lang) / ACTIVE_NAME


def _refusal(path: Path, error: BundleError) -> StoreError:
    return StoreError(f"The model {path} is refused ({error.reason}): {error.detail}")


def _require_place(path: Path, found: Manifest | Model) -> None:
    """A bundle must say itself what its place says, or results would be stamped with another model's name."""
    if (found.lang, found.version) != (path.parent.name, path.name):
        raise StoreError(
            f"The model {path} says that it is version {found.version!r} of {found.lang!r}. "
            "Move it to the directory of that name."
        )


def _directories(path: Path) -> list[str] | None:
    """The names of the directories in `path`, sorted; None when there is no such directory."""
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}. Check the disk and its permissions.") from error


def _exists(path: Path) -> bool:
    """Whether there is anything of that name; a directory that may not be read counts as no."""
    return os.path.lexists(path)


def _replace(path: Path, data: bytes) -> None:
    """Replace a small file: written and synced under another name first, so that no reader meets half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_name(path)

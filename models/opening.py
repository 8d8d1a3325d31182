"""From what `--models` says to a store."""

from pathlib import Path

import platformdirs

from models.problems import BundleError
from models.reader import Trust
from models.store import Store, StoreError
from models.watching import LOGGED, Watch


def is_url(models: str) -> bool:
    """Whether `--models` names a store behind a URL, and no directory."""
    return "://" in models


def open_store(
    models: str, *, cache: Path | None = None, trusted_keys: Path | None = None, watch: Watch = LOGGED
) -> Store:
    """The store that `models` names: a directory, or a URL that fsspec knows.

    Args:
        models: the directory or the URL.
        cache: where copies of remote bundles go; None takes a directory below the user's cache directory.
        trusted_keys: a PEM file of public keys; with it, bundles that none of them has signed are refused.
        watch: told how far a copy has come, and of what went wrong.

    Raises:
        StoreError: the key file cannot be used, or the kind of URL is unknown or not installed.
    """
    trust = None if trusted_keys is None else _trust(trusted_keys)
    if not is_url(models):
        return Store(Path(models), trust)
    from models.remote import RemoteStore  # noqa: PLC0415 - fsspec is imported only for a URL

    return RemoteStore(models, cache or default_cache(), trust, watch)


def _trust(path: Path) -> Trust:
    from models.signing import TrustedKeys  # noqa: PLC0415 - cryptography is imported only for keys

    keys = TrustedKeys(path)
    try:
        keys.check()
    except BundleError as error:
        raise StoreError(error.detail) from error
    return keys


def default_cache() -> Path:
    """Where copies of remote bundles go when nobody says anything else."""
    return platformdirs.user_cache_path("clf") / "models"

"""A store behind a URL that does not answer: what works all the same."""

from pathlib import Path
from threading import Event

import pytest

import models.remote_files
from models.reader import WEIGHTS_NAME
from models.remote import RemoteStore
from models.remote_files import UnreachableError
from models.store import ACTIVE_NAME, Store, StoreError
from models.tests.remote_stores import FaultyFileSystem, Told, flip


def test_an_outage_stops_nothing_that_is_local(
    remote: RemoteStore, url: str, origin: Store, tmp_path: Path, faults: type[FaultyFileSystem]
) -> None:
    """New processes and running ones go on with the last known active versions, warn once, and see the store return."""
    remote.load_active()
    faults.down, told = True, Told()
    later = RemoteStore(url, tmp_path / "cache", watch=told)
    assert {lang: model.version for lang, model in later.load_active().items()} == {"de": "v1", "en": "v1"}
    assert [later.active("en"), later.active("de"), later.active("en")] == ["v1", "v1", "v1"]
    assert later.languages() == ["de", "en"]
    assert later.versions("en") == ["v1"]
    assert len(told.warnings) == 1
    assert "No route to host" in told.warnings[0]
    origin.activate("en", "v2")
    faults.down = False
    assert later.active("en") == "v2"
    assert len(told.warnings) == 1
    faults.down = True
    assert later.active("en") == "v1", "what is not here cannot be used"
    assert len(told.warnings) == 2
    faults.down = False
    assert later.active("en") == "v2", "a connection that was lost is made anew"
    assert later.load("en", "v2").version == "v2"


def test_the_version_that_was_polled_and_loaded_is_remembered(
    remote: RemoteStore, origin: Store, faults: type[FaultyFileSystem]
) -> None:
    """Who polls `active` and calls `load`, as a hot reload does, finds the new version again during an outage."""
    remote.load_active()
    origin.activate("en", "v2")
    assert remote.active("en") == "v2"
    remote.load("en", "v2")
    faults.down = True
    assert remote.active("en") == "v2"
    assert remote.load_active()["en"].version == "v2"


def test_an_outage_at_the_first_start(remote: RemoteStore, faults: type[FaultyFileSystem]) -> None:
    """Without a copy there is nothing to start with; the message says so, and what to check."""
    faults.down = True
    for ask in (remote.load_active, remote.languages, lambda: remote.active("en")):
        with pytest.raises(UnreachableError, match=r"No route to host.*Check the URL, the network"):
            ask()
    with pytest.raises(UnreachableError, match="No route to host"):
        remote.load("en", "v1")


def test_a_root_that_is_gone_counts_as_an_outage(remote: RemoteStore, origin: Store, told: Told) -> None:
    """A share that is not mounted looks like an empty place: what is local is used."""
    remote.load_active()
    origin.root.rename(origin.root.with_name("away"))
    assert remote.load_active().keys() == {"de", "en"}
    assert remote.active("en") == "v1"
    assert len(told.warnings) == 1
    assert "There is no store at" in told.warnings[0]


def test_an_outage_between_the_choice_and_the_bundle(
    remote: RemoteStore, origin: Store, told: Told, faults: type[FaultyFileSystem]
) -> None:
    """A new active version that cannot be copied keeps no process from starting with the one before."""
    remote.load_active()
    origin.activate("en", "v2")
    faults.broken = f"v2/{WEIGHTS_NAME}"
    assert remote.load_active()["en"].version == "v1"
    assert len(told.warnings) == 1
    faults.broken = ""
    assert remote.load_active()["en"].version == "v2"


def test_a_refusal_is_no_outage(remote: RemoteStore, origin: Store) -> None:
    """A new active version that is refused is not replaced by the one before in silence: the start fails."""
    remote.load_active()
    origin.activate("en", "v2")
    flip(origin.path("en", "v2") / WEIGHTS_NAME)
    with pytest.raises(StoreError, match="hash_mismatch"):
        remote.load_active()


def test_a_store_that_never_answers(
    remote: RemoteStore, faults: type[FaultyFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting has an end: a store that hangs is away."""
    remote.load_active()
    faults.hanging = Event()
    monkeypatch.setattr(models.remote_files, "_SMALL_SECONDS", 0.05)
    try:
        assert remote.load_active().keys() == {"de", "en"}
        with pytest.raises(UnreachableError, match=r"no answer within 0.05 s"):
            remote.manifest("en", "v2")
    finally:
        faults.hanging.set()


def test_deactivated_languages_are_not_resurrected(remote: RemoteStore, origin: Store) -> None:
    """A store that answers has the last word: a language without an active file has no active version."""
    remote.load_active()
    (origin.root / "de" / ACTIVE_NAME).unlink()
    assert remote.active("de") is None
    assert remote.load_active().keys() == {"en"}

"""Publishing models in a store behind a URL, and choosing the active one there."""

from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from models.bundle import BundleContent, write_bundle
from models.manifest import MANIFEST_NAME
from models.opening import open_store
from models.push import push
from models.reader import WEIGHTS_NAME
from models.remote import RemoteStore
from models.store import ACTIVE_NAME, Store, StoreError
from models.tests.remote_stores import FaultyFileSystem, Told, flip, names

TEXTS = ["The museum opened.", "The striker scored twice.", ""]


def test_activate_writes_to_the_store(remote: RemoteStore, origin: Store) -> None:
    """The choice is made in the store itself, for all who read it, after what lies there was verified here."""
    remote.load_active()
    assert remote.activate("en", "v2").version == "v2"
    assert origin.active("en") == "v2"
    assert remote.active("en") == "v2"
    assert names(origin.root / "en") == [ACTIVE_NAME, "v1", "v2"]
    flip(origin.path("de", "v1") / WEIGHTS_NAME)
    with pytest.raises(StoreError, match="hash_mismatch"):
        remote.activate("de", "v1")


def test_push_to_an_empty_store(origin: Store, tmp_path: Path, content: BundleContent) -> None:
    """A model that was pushed and activated is loaded from there; here the store is memory."""
    url, told = "memory://somewhere/models", Told()
    assert push(origin, "en", "v1", url, told)
    assert told.bytes == told.copies[0][1]
    assert not push(origin, "en", "v1", f"{url}/"), "it is there already"
    remote = open_store(url, cache=tmp_path / "cache")
    assert remote.active("en") is None
    remote.activate("en", "v1")
    assert remote.load_active()["en"].predict(TEXTS) == origin.load("en", "v1").predict(TEXTS)
    other = Store(tmp_path / "other")
    write_bundle(other.path("en", "v1"), "v1", replace(content, thresholds=(0.7, 0.7, 0.7)))
    with pytest.raises(StoreError, match="never overwritten"):
        push(other, "en", "v1", url)
    fsspec.filesystem("memory").rm("/somewhere", recursive=True)


def test_push_that_broke_off(origin: Store, url: str, tmp_path: Path, faults: type[FaultyFileSystem]) -> None:
    """Nobody sees the version before all of it was written and read back, and the push can be repeated."""
    url += "/../target"
    remote = RemoteStore(url, tmp_path / "cache")
    push(origin, "en", "v1", url)
    faults.broken = f"target/en/v2/{WEIGHTS_NAME}"
    with pytest.raises(StoreError, match="No route to host"):
        push(origin, "en", "v2", url)
    faults.reset()
    assert remote.versions("en") == ["v1"]
    assert push(origin, "en", "v2", url)
    assert remote.load("en", "v2").version == "v2"
    assert not list((tmp_path / "target").rglob(".*"))


def test_push_reads_back(origin: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that keeps something else than it was given is found out before the manifest is there."""
    put_file = FaultyFileSystem.put_file

    def lose_a_byte(self: FaultyFileSystem, source: str, target: str) -> None:
        put_file(self, source, target)
        Path(target).write_bytes(Path(source).read_bytes()[:-1])

    monkeypatch.setattr(FaultyFileSystem, "put_file", lose_a_byte)
    with pytest.raises(StoreError, match="something else is read there"):
        push(origin, "en", "v1", f"{url}/../target")
    assert not (origin.root.parent / "target" / "en" / "v1" / MANIFEST_NAME).exists()


def test_push_refuses_a_damaged_model(origin: Store, url: str) -> None:
    """What is not sound here is not published."""
    flip(origin.path("en", "v1") / "pipeline.joblib")
    with pytest.raises(StoreError, match="hash_mismatch"):
        push(origin, "en", "v1", f"{url}/../target")
    assert not (origin.root.parent / "target").exists()

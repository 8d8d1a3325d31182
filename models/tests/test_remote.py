"""A store behind a URL: what is copied, what is refused, and how damaged copies are repaired."""

from pathlib import Path

import pytest

from models.golden import GOLDEN_NAME
from models.manifest import MANIFEST_NAME
from models.opening import default_cache, open_store
from models.reader import WEIGHTS_NAME
from models.remote import RemoteStore
from models.store import ACTIVE_NAME, Store, StoreError
from models.tests.conftest import Tamper
from models.tests.remote_stores import FaultyFileSystem, Told, flip, names

TEXTS = ["The museum opened.", "The striker scored twice.", ""]


# --- what is copied ---------------------------------------------------------------------------------------------


def test_the_active_models_are_loaded_from_copies(remote: RemoteStore, origin: Store, told: Told) -> None:
    """They score as at the other end; what is copied is what the manifest names, and nothing that lies beside it."""
    (origin.path("en", "v1") / "notes.txt").write_text("no part of the model", encoding="utf-8")
    loaded = remote.load_active()
    assert {lang: model.version for lang, model in loaded.items()} == {"de": "v1", "en": "v1"}
    assert loaded["en"].predict(TEXTS) == origin.load("en", "v1").predict(TEXTS)
    copied = remote.path("en", "v1")
    manifest = origin.manifest("en", "v1")
    assert names(copied) == sorted([*manifest.files, MANIFEST_NAME])
    assert names(copied.parent) == [ACTIVE_NAME, "v1"]
    assert told.copies[1] == (f"{remote.where}/en/v1", sum(entry.size for entry in manifest.files.values()))
    assert told.bytes == sum(total for _, total in told.copies)
    assert told.warnings == []


def test_what_is_local_is_not_copied_again(
    remote: RemoteStore, url: str, tmp_path: Path, faults: type[FaultyFileSystem]
) -> None:
    """The next process asks which versions are active, and no more."""
    remote.load_active()
    faults.reset()
    RemoteStore(url, tmp_path / "cache").load_active()
    assert faults.opened == {ACTIVE_NAME: 2}


def test_listing_copies_no_bundle(remote: RemoteStore, origin: Store) -> None:
    """Languages, versions and manifests are those of the store, without anything being copied for it."""
    (origin.root / "en" / "half").mkdir()
    (origin.root / "lost+found").mkdir()
    assert remote.languages() == ["de", "en"]
    assert (remote.versions("en"), remote.versions("fr")) == (["v1", "v2"], [])
    assert remote.manifest("en", "v2") == origin.manifest("en", "v2")
    assert not remote.root.exists()


def test_a_version_that_is_not_there(remote: RemoteStore) -> None:
    """It is named with those that there are, and nothing is left of the attempt."""
    for ask in (remote.load, remote.manifest, remote.verify):
        with pytest.raises(StoreError, match=r"no version 'v9' of 'en'.*There is: v1, v2"):
            ask("en", "v9")
    assert names(remote.root / "en") == []


@pytest.mark.parametrize(("lang", "version"), [("../en", "v1"), ("en", "../v1"), ("en", ".lock"), ("en", ACTIVE_NAME)])
def test_names_cannot_lead_out_of_the_store(remote: RemoteStore, lang: str, version: str) -> None:
    """Names are checked before anything is asked for or written."""
    for ask in (remote.load, remote.verify, remote.activate, remote.manifest):
        with pytest.raises(StoreError, match=r"cannot be a version|not a normalised language code"):
            ask(lang, version)


def test_two_stores_do_not_share_a_cache(remote: RemoteStore, url: str, tmp_path: Path) -> None:
    """Copies of stores at different URLs lie in directories of their own, however alike the URLs are."""
    remote.load_active()
    other = RemoteStore(f"{url}/../origin", tmp_path / "cache")
    assert other.root != remote.root
    assert RemoteStore(f"{url}/", tmp_path / "cache").root == remote.root


# --- refused ------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_found(remote: RemoteStore, origin: Store) -> None:
    """Whichever file of the store is changed, manifest included: it is refused and never gets its name in the cache."""
    bundle = origin.path("en", "v1")
    for path in sorted(bundle.iterdir()):
        flip(path, path.stat().st_size // 2)
        with pytest.raises(
            StoreError, match=r"refused \((hash_mismatch|manifest_not_json|digest_mismatch|manifest_inv)"
        ):
            remote.load("en", "v1")
        assert names(remote.root / "en") == []
        flip(path, path.stat().st_size // 2)
    assert remote.load("en", "v1").version == "v1"


@pytest.mark.parametrize("change", [b"", b"more"])
def test_no_more_is_read_than_the_manifest_says(remote: RemoteStore, origin: Store, told: Told, change: bytes) -> None:
    """A file that is shorter or longer is refused; of a longer one the rest is not written."""
    path = origin.path("en", "v1") / WEIGHTS_NAME
    path.write_bytes(path.read_bytes() + change * 2_000_000 if change else path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="size_mismatch"):
        remote.load("en", "v1")
    assert told.bytes <= told.copies[0][1]
    assert names(remote.root / "en") == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/b", "..", ".hidden", MANIFEST_NAME, "manifest.sig", "a\0b"])
def test_a_hostile_manifest_cannot_name_other_places(remote: RemoteStore, origin: Store, name: str) -> None:
    """A name that leads out of the bundle, or is taken, is refused before a byte of any file is copied."""
    tamper = Tamper(origin.path("en", "v1"))
    values = tamper.read()
    values["files"][name] = values["files"][WEIGHTS_NAME]
    tamper.write(values)
    with pytest.raises(StoreError, match="unsafe_file"):
        remote.load("en", "v1")
    assert sorted(path.name for path in remote.root.rglob("*")) == [".lock", "en"]


def test_a_bundle_in_the_wrong_place(remote: RemoteStore, origin: Store) -> None:
    """A bundle that says to be another version is refused, or an old one could come back under a new name."""
    origin.path("en", "v1").rename(origin.path("en", "v3"))
    with pytest.raises(StoreError, match="says that it is version 'v1' of 'en'"):
        remote.load("en", "v3")
    assert names(remote.root / "en") == []


def test_a_manifest_larger_than_the_disk(remote: RemoteStore, origin: Store) -> None:
    """Where it cannot fit nothing is copied, and the message says what to do."""
    tamper = Tamper(origin.path("en", "v1"))
    values = tamper.read()
    values["files"][WEIGHTS_NAME]["bytes"] = 10**18
    tamper.write(values)
    with pytest.raises(StoreError, match=r"bytes are needed and .* --model-cache"):
        remote.load("en", "v1")


def test_a_missing_file(remote: RemoteStore, origin: Store) -> None:
    """A file that the manifest names and the store has not is a refusal, not an outage."""
    (origin.path("en", "v1") / GOLDEN_NAME).unlink()
    with pytest.raises(StoreError, match="file_missing"):
        remote.load("en", "v1")


@pytest.mark.parametrize("data", [b"", b"../v1\n", b"v" * 10_000])
def test_a_damaged_active_file(remote: RemoteStore, origin: Store, data: bytes) -> None:
    """It is refused as in a local store, and not taken for an outage."""
    (origin.root / "en" / ACTIVE_NAME).write_bytes(data)
    with pytest.raises(StoreError, match=r"does not hold the name of a version|larger than 200 bytes"):
        remote.active("en")


# --- damaged copies -------------------------------------------------------------------------------------------------


def test_damaged_copies_are_copied_again(remote: RemoteStore, origin: Store, told: Told) -> None:
    """Whichever file of a copy is damaged or missing, the next load repairs it, with a warning that says why."""
    remote.load("en", "v1")
    copied = remote.path("en", "v1")
    files = origin.manifest("en", "v1").files
    for number, name in enumerate(files):
        flip(copied / name, -1) if number % 2 else (copied / name).unlink()
        assert remote.load("en", "v1").version == "v1"
        assert name in told.warnings[-1]
        assert "copied again" in told.warnings[-1]
    assert len(told.warnings) == len(files)
    for damage in (lambda path: path.write_bytes(b"{}"), Path.unlink):
        damage(copied / MANIFEST_NAME)
        assert remote.load("en", "v1").version == "v1"
    assert (copied / MANIFEST_NAME).read_bytes() == origin.manifest_bytes("en", "v1")
    assert names(copied.parent) == ["v1"]


def test_a_damaged_copy_while_the_store_is_away(remote: RemoteStore, faults: type[FaultyFileSystem]) -> None:
    """Then there is nothing to use, and the message has both reasons."""
    remote.load("en", "v1")
    flip(remote.path("en", "v1") / WEIGHTS_NAME)
    faults.down = True
    with pytest.raises(StoreError, match=r"hash_mismatch.*could not be copied again.*No route to host"):
        remote.load("en", "v1")


def test_a_sound_copy_of_a_bad_model_is_not_copied_again(remote: RemoteStore, origin: Store, told: Told) -> None:
    """What is refused although it is as it was published stays refused, without another copy at every attempt."""
    tamper = Tamper(origin.path("en", "v1"))
    tamper.replace(WEIGHTS_NAME, b"no array")
    for _ in range(2):
        with pytest.raises(StoreError, match="array_invalid"):
            remote.load("en", "v1")
    assert (len(told.copies), told.warnings) == (1, [])


def test_verifying_looks_at_the_store(remote: RemoteStore, origin: Store) -> None:
    """A sound copy does not hide that the bundle in the store was changed, and stays."""
    remote.load("en", "v1")
    flip(origin.path("en", "v1") / "pipeline.joblib")
    with pytest.raises(StoreError, match="hash_mismatch"):
        remote.verify("en", "v1")
    assert remote.load("en", "v1").version == "v1"
    assert remote.verify("en", "v2").version == "v2"


def test_leftovers_of_killed_processes_are_removed(remote: RemoteStore) -> None:
    """Unfinished copies are never seen as versions, and are gone after the next copy."""
    (remote.root / "en" / ".v7.tmp").mkdir(parents=True)
    (remote.root / "en" / ".v7.tmp" / MANIFEST_NAME).touch()
    remote.load("en", "v1")
    assert names(remote.root / "en") == ["v1"]


# --- which kinds of stores --------------------------------------------------------------------------------------------


def test_what_names_a_store(origin: Store, tmp_path: Path) -> None:
    """A directory is a local store as ever; a URL of any kind that is installed is a remote one."""
    assert type(open_store(str(origin.root))) is Store
    for url in (f"file://{origin.root}", "memory://models"):
        assert isinstance(open_store(url, cache=tmp_path), RemoteStore)
    remote = open_store(f"file://{origin.root}", cache=tmp_path / "cache")
    assert remote.load_active().keys() == {"de", "en"}


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unless a directory is named, copies go below the user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "clf" / "models"


@pytest.mark.parametrize(("url", "names"), [("s3://bucket/models", "s3fs"), ("teapot://x", "teapot")])
def test_a_kind_of_store_that_is_not_there(url: str, names: str, tmp_path: Path) -> None:
    """The message names the package to install, or says that the kind is not known."""
    with pytest.raises(StoreError, match=rf"{url} cannot be used: .*{names}"):
        open_store(url, cache=tmp_path)


def test_passwords_are_not_shown(url: str, tmp_path: Path) -> None:
    """A password in a URL reaches neither messages nor directory names."""
    remote = RemoteStore(url.replace("://", "://someone:secret@nowhere/"), tmp_path / "cache")
    with pytest.raises(StoreError) as caught:
        remote.load_active()
    assert "secret" not in f"{remote.where} {remote.root}"
    assert "secret" not in str(caught.value)

"""The store: what is in it, what is active, and that activating is safe."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle import BundleContent, write_bundle
from models.manifest import MANIFEST_NAME, digest_of
from models.reader import WEIGHTS_NAME
from models.store import ACTIVE_NAME, Store, StoreError

# Activates v1 and v2 of English in turn.
ACTIVATOR = """
import sys
from pathlib import Path
from models.store import Store
store = Store(Path(sys.argv[1]))
for turn in range(30):
    store.activate("en", ("v1", "v2")[turn % 2])
"""


@pytest.fixture
def store(tmp_path: Path, content: BundleContent) -> Store:
    """A store with two English versions and a German one, none of them active."""
    store = Store(tmp_path / "store")
    write_bundle(store.path("en", "v1"), "v1", content)
    write_bundle(store.path("en", "v2"), "v2", replace(content, thresholds=(0.6, 0.6, 0.6)))
    write_bundle(store.path("de", "20260101T000000Z"), "20260101T000000Z", replace(content, lang="de"))
    return store


def test_lists_what_is_there(store: Store) -> None:
    """Languages and versions are listed in order."""
    assert store.languages() == ["de", "en"]
    assert store.versions("en") == ["v1", "v2"]
    assert store.versions("fr") == []


def test_lists_what_is_activated(store: Store) -> None:
    """Languages with a file that says which version is active, whatever it says; those without are left out."""
    assert store.activated() == []
    store.activate("en", "v1")
    (store.root / "fr").mkdir()
    (store.root / "fr" / ACTIVE_NAME).write_bytes(b"\xff")
    (store.root / "lost+found").mkdir()
    (store.root / "lost+found" / ACTIVE_NAME).touch()
    assert store.activated() == ["en", "fr"]


def test_ignores_what_is_no_bundle(store: Store) -> None:
    """Unfinished bundles, foreign directories and stray files are not listed."""
    (store.root / "en" / ".v3.0123456789ab.tmp").mkdir()
    (store.root / "en" / ".v3.0123456789ab.tmp" / "manifest.json").touch()
    (store.root / "en" / "without-manifest").mkdir()
    (store.root / "en" / "notes.txt").touch()
    (store.root / "lost+found").mkdir()
    (store.root / "fr").mkdir()
    assert (store.languages(), store.versions("en")) == (["de", "en"], ["v1", "v2"])


def test_missing_store(tmp_path: Path) -> None:
    """A store that does not exist is named, with what to do; asking for its paths is fine."""
    store = Store(tmp_path / "nothing")
    with pytest.raises(StoreError, match="Train a model first"):
        store.load_active()
    with pytest.raises(StoreError, match="Train a model first"):
        store.activated()
    assert store.path("en", "v1") == tmp_path / "nothing" / "en" / "v1"
    assert store.versions("en") == []
    assert store.active("en") is None


def test_root_is_a_file(tmp_path: Path) -> None:
    """A file in place of the store is an error of the store, not a crash."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="no model store"):
        Store(tmp_path / "file").languages()


@pytest.mark.parametrize("version", ["../v1", "/etc", "", ".", "..", ".v1", "a/b", "v1\n", "ACTIVE", "v" * 300])
def test_version_that_is_no_name(store: Store, version: str) -> None:
    """A version can never lead out of the store."""
    with pytest.raises(StoreError, match="cannot be a version"):
        store.path("en", version)


@pytest.mark.parametrize("lang", ["../en", "", "EN", "english", "e", "en\n", "en/v1"])
def test_language_that_is_no_code(store: Store, lang: str) -> None:
    """A language can never lead out of the store."""
    with pytest.raises(StoreError, match="not a normalised language code"):
        store.path(lang, "v1")


def test_nothing_is_active_at_first(store: Store) -> None:
    """A written version is not active before somebody says so."""
    assert store.active("en") is None
    assert store.load_active() == {}


def test_activate_and_load(store: Store) -> None:
    """The active version of each language is loaded, and activating another one replaces it."""
    store.activate("en", "v1")
    assert store.activate("en", "v2").version == "v2"
    store.activate("de", "20260101T000000Z")
    loaded = store.load_active()
    assert {lang: model.version for lang, model in loaded.items()} == {"de": "20260101T000000Z", "en": "v2"}
    assert (store.root / "en" / ACTIVE_NAME).read_bytes() == b"v2\n"


def test_activating_what_is_missing(store: Store) -> None:
    """A version that does not exist is refused with those that do."""
    with pytest.raises(StoreError, match=r"no version 'v9'.*v1, v2"):
        store.activate("en", "v9")


def test_activating_what_is_damaged(store: Store) -> None:
    """A damaged version is refused with the reason, and the active one stays."""
    store.activate("en", "v1")
    path = store.path("en", "v2") / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="size_mismatch"):
        store.activate("en", "v2")
    assert store.active("en") == "v1"


def test_activating_fails_on_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file cannot be written the active version stays, and no half of a file is left."""
    store.activate("en", "v1")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StoreError, match="No space left"):
        store.activate("en", "v2")
    assert store.active("en") == "v1"
    assert sorted(path.name for path in (store.root / "en").iterdir()) == [ACTIVE_NAME, "v1", "v2"]


@pytest.mark.parametrize("data", [b"", b"\n", b"../v1\n", b"\xff\xff", b"v1\nv2\n", b"v" * 10_000])
def test_damaged_active_file(store: Store, data: bytes) -> None:
    """An unusable active file is refused with the command that repairs it, and that command does."""
    (store.root / "en" / ACTIVE_NAME).write_bytes(data)
    with pytest.raises(StoreError, match="clf models activate en"):
        store.load_active()
    store.activate("en", "v1")
    assert store.active("en") == "v1"


def test_active_file_is_a_directory(store: Store) -> None:
    """Something else in place of the active file is an error of the store, for readers and writers."""
    (store.root / "en" / ACTIVE_NAME).mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        store.active("en")
    with pytest.raises(StoreError, match="could not be replaced"):
        store.activate("en", "v1")


def test_active_version_was_deleted(store: Store) -> None:
    """An active version that is gone is a refusal: a worker must not start without a language it had."""
    (store.root / "de" / ACTIVE_NAME).write_text("20250101T000000Z\n", encoding="utf-8")
    with pytest.raises(StoreError, match="20250101T000000Z"):
        store.load_active()


@pytest.mark.parametrize(("lang", "version"), [("en", "v3"), ("fr", "v1")])
def test_bundle_in_the_wrong_place(store: Store, lang: str, version: str) -> None:
    """A copied bundle that says to be another version or language is refused, or results would lie."""
    target = store.path(lang, version)
    target.parent.mkdir(exist_ok=True)
    store.path("en", "v1").rename(target)
    with pytest.raises(StoreError, match="says that it is version 'v1' of 'en'"):
        store.activate(lang, version)


def test_two_processes_activate_at_once(store: Store) -> None:
    """With two processes activating in turns, every reader finds one whole, valid name."""
    store.activate("en", "v1")
    command = [sys.executable, "-c", ACTIVATOR, str(store.root)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    seen = set()
    while any(process.poll() is None for process in processes):
        seen.add(store.active("en"))
    assert [process.returncode for process in processes] == [0, 0]
    assert seen == {"v1", "v2"}
    assert sorted(path.name for path in (store.root / "en").iterdir()) == [ACTIVE_NAME, "v1", "v2"]


def test_verifying_checks_more_than_loading(store: Store) -> None:
    """Who asks for verification gets the SHA-256 checked too, which loading leaves out because it is slow."""
    path = store.path("en", "v1") / MANIFEST_NAME
    values = json.loads(path.read_bytes())
    values["files"][WEIGHTS_NAME]["sha256"] = "0" * 64
    path.write_text(json.dumps(values | {"digest": digest_of(values)}), encoding="utf-8")
    assert store.load("en", "v1").version == "v1"
    with pytest.raises(StoreError, match=r"hash_mismatch.*SHA-256"):
        store.verify("en", "v1")
    assert store.verify("en", "v2").version == "v2"

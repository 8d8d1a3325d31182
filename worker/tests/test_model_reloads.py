"""New active versions: which are taken, which are refused, and that something serves all the time."""

import gc
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from models.manifest import MANIFEST_NAME
from models.reader import WEIGHTS_NAME
from models.store import ACTIVE_NAME, Store, StoreError
from schemas.classification import Classification
from schemas.document import Document
from worker.config import Reload, Scoring
from worker.live_models import open_live_models
from worker.memory import Memory
from worker.model_reloads import AGAIN_SECONDS, MARGIN_BYTES, ModelReloads, ReloadOutcome, start_reloads
from worker.tests.fakes import ManualClock, NotingBooks
from worker.tests.grpc_fakes import PATIENCE
from worker.tests.tools import small_bundle, small_store

DOCUMENT = Document("u", "", "goal", "en")
SWAPPED, REFUSED = ReloadOutcome.SWAPPED, ReloadOutcome.REFUSED


class FixedMemory(Memory):
    """As much as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = 2**40

    def available(self) -> int | None:
        """What the test set."""
        return self.left


class Scene:
    """A store with two English versions, the first of them active and serving."""

    def __init__(self, root: Path) -> None:
        self.root = small_store(root)
        small_bundle(root, version="v2", slope=-3.0)
        self.store = Store(root)
        self.live = open_live_models(Scoring(models=str(root)))
        self.memory, self.books, self.clock = FixedMemory(), NotingBooks(), ManualClock()
        self.reloads = ModelReloads(self.store, self.live, self.memory, self.books, self.clock)
        self.logged: list[dict[str, Any]] = []

    def say(self, content: bytes, lang: str = "en") -> None:
        """Write the file that names the active version, by hand."""
        (self.root / lang / ACTIVE_NAME).write_bytes(content)

    def look(self, times: int = 1) -> list[str]:
        """Look that often; the events that were logged, and all of them in `logged`."""
        with capture_logs() as logged:
            for _ in range(times):
                self.reloads.look()
        self.logged += [dict(entry) for entry in logged]
        return [entry["event"] for entry in logged if entry["log_level"] != "debug"]

    def serving(self) -> dict[str, str]:
        """The versions that serve."""
        return {lang: model.version for lang, model in self.live.models().items()}

    def result(self, document: Document = DOCUMENT) -> Classification:
        """What becomes of a document now."""
        return self.live.classifier().classify([document], [None])[0]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """That store."""
    return Scene(tmp_path / "store")


# --- what is taken -------------------------------------------------------------------------------------------


def test_what_becomes_active_serves(scene: Scene) -> None:
    """After a look the new version gives the results, stamped as its own, and that is told once."""
    before = scene.result()
    scene.store.activate("en", "v2")
    assert scene.look(3) == ["model_swapped"]
    after = scene.result()
    assert before.model is not None
    assert after.model is not None
    assert (before.model.version, after.model.version) == ("v1", "v2")
    assert after.classes != before.classes
    assert (scene.serving(), scene.books.served) == ({"en": "v2"}, {"en": "v2"})
    assert scene.books.outcomes == {("en", SWAPPED): 1}
    [entry] = scene.logged
    assert (entry["before"], entry["version"], entry["digest"]) == ("v1", "v2", after.model.digest)


def test_nothing_new_is_nothing_done(scene: Scene) -> None:
    """The same object goes on serving, and nothing is told."""
    model = scene.live.models()["en"]
    assert scene.look(3) == []
    scene.store.activate("en", "v1")
    assert scene.look() == []
    assert scene.live.models()["en"] is model
    assert scene.books.outcomes == {}


def test_back_and_forth(scene: Scene) -> None:
    """A rollback is a version like any other."""
    for version in ("v2", "v1", "v2"):
        scene.store.activate("en", version)
        scene.look()
        assert scene.serving() == {"en": version}
    assert scene.books.outcomes == {("en", SWAPPED): 3}


def test_a_language_gets_its_first_model(scene: Scene) -> None:
    """As soon as one is active; a bundle that lies there without being active is none."""
    german = Document("u", "", "goal", "de")
    small_bundle(scene.root, "de")
    assert scene.look() == []
    assert scene.result(german).model is None
    scene.store.activate("de", "v1")
    assert scene.look() == ["model_swapped"]
    assert scene.logged[-1]["before"] is None
    assert scene.result(german).model is not None
    assert scene.serving() == {"de": "v1", "en": "v1"}
    assert scene.live.classifier().languages == ["de", "en"]


def test_who_scores_keeps_what_he_asked_for(scene: Scene) -> None:
    """A classifier that was asked for before a swap scores a whole batch as before it."""
    classifier, expected = scene.live.classifier(), scene.result()
    scene.store.activate("en", "v2")
    scene.look()
    assert classifier.classify([DOCUMENT] * 3, [None] * 3) == [expected] * 3
    assert scene.result() != expected


def mapped(directory: Path) -> bool:
    """Whether this process has files of that directory in its memory."""
    return f"{directory}/" in Path("/proc/self/maps").read_text("utf-8")


@contextmanager
def without_collections() -> Iterator[None]:
    """What exists is frozen, and no cycle is looked for: as in a process that serves."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def test_the_old_one_is_let_go(scene: Scene) -> None:
    """Its files leave the memory with its last user, by counting references alone."""
    scene.store.activate("en", "v2")
    with without_collections():
        classifier = scene.live.classifier()
        scene.look()
        assert mapped(scene.root / "en" / "v1")
        assert mapped(scene.root / "en" / "v2")
        del classifier
        assert not mapped(scene.root / "en" / "v1")


# --- what is refused -----------------------------------------------------------------------------------------


def write_to(scene: Scene, name: str, old: bytes, new: bytes) -> None:
    """Change a file of the second version."""
    path = scene.root / "en" / "v2" / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def rename(scene: Scene) -> None:
    """The second version lies where another would be."""
    (scene.root / "en" / "v2").rename(scene.root / "en" / "v3")
    scene.say(b"v3\n")


DAMAGES: dict[str, tuple[Callable[[Scene], object], str]] = {
    "missing": (lambda scene: shutil.rmtree(scene.root / "en" / "v2"), "There is no version 'v2' of 'en'"),
    "no manifest": (lambda scene: (scene.root / "en" / "v2" / MANIFEST_NAME).unlink(), "There is no version 'v2'"),
    "corrupt": (lambda scene: write_to(scene, WEIGHTS_NAME, b"\0\0\0@", b"\0\0\0A"), "hash_mismatch"),
    "a file is missing": (lambda scene: (scene.root / "en" / "v2" / WEIGHTS_NAME).unlink(), "file_missing"),
    "format": (lambda scene: write_to(scene, MANIFEST_NAME, b'"format_version": 2', b'"format_version": 9'), "9"),
    "wrong place": (rename, "says that it is version 'v2' of 'en'"),
    "active is empty": (lambda scene: scene.say(b""), "does not hold the name of a version"),
    "active is binary": (lambda scene: scene.say(b"\xff\0" * 200), "does not hold the name of a version"),
    "active leads out": (lambda scene: scene.say(b"../en/v2"), "does not hold the name of a version"),
    "active names itself": (lambda scene: scene.say(b"ACTIVE"), "cannot be a version"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_bad_one_is_refused(scene: Scene, damage: Callable[[Scene], object], reason: str) -> None:
    """Whatever is wrong with it, the log has one line that says so, it counts once, and the old one serves on."""
    model, expected = scene.live.models()["en"], scene.result()
    scene.store.activate("en", "v2")
    damage(scene)
    assert scene.look(5) == ["model_refused"]
    [entry] = scene.logged
    assert reason in entry["reason"]
    assert (entry["log_level"], entry["lang"], entry["serving"]) == ("error", "en", "v1")
    assert scene.live.models()["en"] is model
    assert scene.result() == expected
    assert scene.books.outcomes == {("en", REFUSED): 1}
    assert scene.books.stale_langs == {"en"}


def test_the_first_of_a_language_is_refused_too(scene: Scene) -> None:
    """There is nothing to serve on then, and the other languages do."""
    small_bundle(scene.root, "de")
    (scene.root / "de" / "v1" / WEIGHTS_NAME).unlink()
    scene.say(b"v1\n", "de")
    scene.store.activate("en", "v2")
    assert scene.look(2) == ["model_refused", "model_swapped"]
    assert (scene.logged[0]["lang"], scene.logged[0]["serving"]) == ("de", "none")
    assert scene.books.stale_langs == {"de"}
    assert scene.serving() == {"en": "v2"}


def test_a_repaired_one_is_taken(scene: Scene) -> None:
    """Each state on the way is told once."""
    path = scene.root / "en" / "v2" / WEIGHTS_NAME
    good = path.read_bytes()
    scene.store.activate("en", "v2")
    path.write_bytes(good[:-1])
    assert scene.look(2) == ["model_refused"]
    path.write_bytes(good[:-1] + b"\1")
    assert scene.look(2) == ["model_refused"]
    assert scene.books.stale_langs == {"en"}
    path.write_bytes(good)
    assert scene.look(2) == ["model_swapped"]
    assert scene.books.stale_langs == set()
    assert scene.books.outcomes == {("en", REFUSED): 2, ("en", SWAPPED): 1}


def test_another_one_is_taken(scene: Scene) -> None:
    """A refusal does not stand in the way of the next version, nor of the same one later on."""
    small_bundle(scene.root, version="v3")
    scene.say(b"nothing\n")
    assert scene.look(2) == ["model_refused"]
    scene.store.activate("en", "v3")
    assert scene.look(2) == ["model_swapped"]
    scene.say(b"nothing\n")
    assert scene.look(2) == ["model_refused"]
    scene.store.activate("en", "v3")
    assert scene.look(2) == []
    scene.say(b"nothing\n")
    assert scene.look(2) == ["model_refused"]


def test_a_fault_that_leaves_no_trace_is_tried_again(scene: Scene) -> None:
    """A disk that failed and recovered changes no file, so what was refused is tried anew after a while, silently."""
    scene.store.activate("en", "v2")
    with patch.object(Store, "load", side_effect=StoreError("input/output error")) as load:
        assert scene.look(3) == ["model_refused"]
        assert load.call_count == 1
        scene.clock.now += AGAIN_SECONDS
        assert scene.look(3) == []
        assert load.call_count == 2
    assert scene.look() == []
    scene.clock.now += AGAIN_SECONDS
    assert scene.look() == ["model_swapped"]
    assert scene.books.outcomes == {("en", REFUSED): 1, ("en", SWAPPED): 1}


@pytest.mark.parametrize("error", [RuntimeError("secret page"), MemoryError()])
def test_a_loader_that_fails_altogether(scene: Scene, error: Exception) -> None:
    """A bug in it is a refusal, named by its kind, and the watcher goes on."""
    scene.store.activate("en", "v2")
    with patch("worker.model_reloads.make_ready", side_effect=error):
        assert scene.look(2) == ["model_refused"]
    assert scene.logged[0]["reason"] == f"Loading v2 raised {type(error).__name__}."
    assert scene.serving() == {"en": "v1"}


# --- memory --------------------------------------------------------------------------------------------------


def test_too_little_memory_is_a_refusal_for_now(scene: Scene) -> None:
    """Nothing is loaded that would not fit beside what serves; it is taken when it does, to the byte."""
    scene.store.activate("en", "v2")
    needed = MARGIN_BYTES + sum(entry.size for entry in scene.store.manifest("en", "v2").files.values())
    scene.memory.left = needed - 1
    assert scene.look(3) == ["model_refused"]
    assert "not enough memory for en v2" in scene.logged[0]["reason"]
    assert "margin of 64 MiB" in scene.logged[0]["reason"]
    scene.memory.left = needed
    assert scene.look() == ["model_swapped"]
    assert scene.books.outcomes == {("en", REFUSED): 1, ("en", SWAPPED): 1}


def test_where_nobody_tells_memory_is_taken_for_enough(scene: Scene) -> None:
    """A system without these numbers reloads all the same."""
    scene.memory.left = None
    scene.store.activate("en", "v2")
    assert scene.look() == ["model_swapped"]


# --- a store that goes away ----------------------------------------------------------------------------------


def test_the_store_goes_and_comes_back(scene: Scene) -> None:
    """What serves serves on, which is told once; when the store is back, so is the watch over it."""
    away = scene.root.with_name("away")
    expected = scene.result()
    scene.root.rename(away)
    assert scene.look(3) == ["model_store_gone"]
    scene.root.touch()
    assert scene.look(3) == [], "a file in its place is the same to us"
    assert scene.books.gone
    assert scene.result() == expected
    scene.root.unlink()
    away.rename(scene.root)
    assert scene.look(2) == ["model_store_back"]
    assert not scene.books.gone
    scene.store.activate("en", "v2")
    assert scene.look() == ["model_swapped"]
    assert scene.books.outcomes == {("en", SWAPPED): 1}


def test_a_store_that_cannot_be_read(scene: Scene) -> None:
    """A disk that answers with errors is the same."""
    with patch("models.store._directories", side_effect=StoreError("Permission denied")):
        assert scene.look(2) == ["model_store_gone"]
    assert scene.look(2) == ["model_store_back"]
    assert scene.serving() == {"en": "v1"}


def test_a_file_that_is_removed(scene: Scene) -> None:
    """Without the file that names one, the model serves on; one line says so, each time that it happens."""
    for _ in range(2):
        (scene.root / "en" / ACTIVE_NAME).unlink()
        assert scene.look(3) == ["active_version_gone"]
        assert scene.serving() == {"en": "v1"}
        assert scene.books.stale_langs == set(), "nothing newer is active"
        scene.store.activate("en", "v1")
        assert scene.look() == []
    (scene.root / "en" / ACTIVE_NAME).unlink()
    shutil.rmtree(scene.root / "en")
    assert scene.look(2) == ["active_version_gone"]
    assert scene.result().model is not None
    assert scene.books.outcomes == {}


# --- the thread ----------------------------------------------------------------------------------------------


def test_it_looks_by_itself_until_it_is_closed(scene: Scene) -> None:
    """Once started, what becomes active is taken without anybody's doing; after `close`, nothing is."""
    scene.reloads.start(0.001)
    scene.store.activate("en", "v2")
    assert scene.books.told.wait(PATIENCE)
    assert scene.serving() == {"en": "v2"}
    scene.reloads.close()
    assert scene.reloads._thread is not None
    assert not scene.reloads._thread.is_alive()
    scene.store.activate("en", "v1")
    assert scene.look() == []


@pytest.mark.parametrize(("scoring", "seconds", "looks"), [(True, 2.0, True), (True, 0.0, False), (False, 2.0, False)])
def test_there_may_be_nothing_to_look_for(scene: Scene, *, scoring: bool, seconds: float, looks: bool) -> None:
    """`--reload-interval 0` and `--no-scoring` start no thread, and closing is fine anyway."""
    options = Scoring(models=str(scene.root), scoring=scoring)
    reloads = start_reloads(options, Reload(seconds), scene.live, scene.books, scene.clock)
    assert (reloads._thread is not None) == looks
    reloads.close()


def test_without_scoring_there_are_no_models(tmp_path: Path) -> None:
    """No store is needed then, and every document gets the constant result."""
    live = open_live_models(Scoring(models=str(tmp_path / "nowhere"), scoring=False))
    assert live.models() == {}
    assert live.classifier().classify([DOCUMENT], [None])[0].labels == ("none",)

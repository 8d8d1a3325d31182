"""Another version becomes active while a worker and a server are busy: nothing fails, waits or is mixed."""

import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path

import grpc
import pytest

from integration_tests.plain_calls import Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import CLF, System, WorkerProcess, numbered, wait_until
from models.reader import WEIGHTS_NAME
from models.store import Store
from schemas.classification import Classification, Source, decode_classification, decode_classifications
from schemas.document import Document, encode_documents
from schemas.headers import PROTOBUF
from worker.classify import Classifier
from worker.tests.tools import clf, small_bundle, small_store

SECOND = "second"
OFTEN = ("--reload-interval", "0.1")
SWAPPED = 'clf_model_reloads_total{lang="en",outcome="swapped"}'
REFUSED = 'clf_model_reloads_total{lang="en",outcome="refused"}'
ENGLISH = Document("https://a.example/1", "Football", "goal", "en")
GERMAN = ENGLISH._replace(lang="de")
CALLERS = 3


def mapped(process: WorkerProcess | ServeProcess, directory: Path) -> bool:
    """Whether a process has files of that directory in its memory."""
    return f"{directory}/" in Path(f"/proc/{process.process.pid}/maps").read_text("utf-8")


# --- the worker ----------------------------------------------------------------------------------------------


@pytest.fixture
def store(model_store: Path, tmp_path: Path) -> Store:
    """The trained models, and a second version of the English one that is not active yet."""
    root = tmp_path / "store"
    shutil.copytree(model_store, root)
    corpus = Path(__file__).parent.parent / "training" / "sample" / "eng.jsonl"
    command = [*CLF, "train", "--data", str(corpus), "--lang", "en", "--models", str(root), "--search", "none"]
    options = ["--c", "0.01", "--folds", "2", "--version", SECOND, "--no-activate"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return Store(root)


@pytest.mark.broker
def test_a_worker_under_load_changes_models_at_one_offset(system: System, store: Store, sample: list[Document]) -> None:
    """In each partition; every result is what the bundle on its stamp gives; the old bundle leaves the memory."""
    first = store.active("en") or ""
    supply = numbered(sample, 1_000_000)
    documents = system.send(islice(supply, 3_000))
    with system.worker("--models", str(store.root), "--max-records", "100", *OFTEN) as worker:
        wait_until(lambda: min(committed(system)) >= 100, "every partition has results")
        assert mapped(worker, store.path("en", first))
        assert clf("models", "activate", "en", SECOND, "--models", store.root).exit_code == 0
        while worker.metric(SWAPPED) < 1:
            documents += system.send(islice(supply, 500))
        documents += system.send(islice(supply, 3_000))
        system.await_settled(len(documents))
        assert worker.metric(f'clf_model_info{{digest="{store.manifest("en", SECOND).digest[:16]}"') == 1
        assert worker.metric("clf_model_info") == 3
        wait_until(lambda: not mapped(worker, store.path("en", first)), "the old bundle is let go")
        assert worker.terminate() == 0
    by_url = {document.url: document for document in documents}
    for results in by_partition(system).values():
        english = [result for result in results if result.lang == "en"]
        assert [version for version, _ in groupby(map(version_of, english))] == [first, SECOND]
        for version in (first, SECOND):
            classifier = Classifier({**store.load_active(), "en": store.load("en", version)})
            expected = [result for result in results if result.lang != "en" or version_of(result) == version]
            sources = [result.source for result in expected]
            assert classifier.classify([by_url[result.url] for result in expected], sources) == expected
    assert len(by_url) == sum(map(len, by_partition(system).values()))


def committed(system: System) -> list[int]:
    """The group's offset in each partition."""
    return list(system.kafka.committed_offsets(system.group, system.documents).values())


def by_partition(system: System) -> dict[int, list[Classification]]:
    """All results, in the order of the documents, of which none is missing or there twice."""
    found: dict[int, list[Classification]] = defaultdict(list)
    for record in system.results():
        result = decode_classification(record.value or b"")
        assert result.source == Source(system.documents, record.partition, len(found[record.partition]))
        found[record.partition].append(result)
    return found


def version_of(result: Classification) -> str | None:
    """Of the model that gave it."""
    return result.model and result.model.version


# --- the server ----------------------------------------------------------------------------------------------


class Callers:
    """Threads that call one server without a pause, some with batches, and keep what they get."""

    def __init__(self, address: str) -> None:
        self.codes: set[grpc.StatusCode] = set()
        self.versions: list[list[str | None]] = []
        self.results: set[Classification] = set()
        self._address = address
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """They call for the time of the block."""
        threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _call(self, number: int) -> None:
        batch = number % 2 == 1
        request = encode_documents([ENGLISH] * 20) if batch else ENGLISH.to_protobuf()
        with Caller(self._address) as caller:
            while not self._stopping.is_set():
                outcome = caller.call(request, "ClassifyBatch" if batch else "Classify")
                results = decode_classifications(outcome.reply) if batch else [_one(outcome.reply)]
                with self._lock:
                    self.codes.add(outcome.code)
                    self.results.update(results)
                    self.versions.append([version for version, _ in groupby(map(version_of, results))])


def _one(reply: bytes) -> Classification:
    return decode_classification(reply, PROTOBUF)


def test_a_server_under_calls_changes_models(tmp_path: Path) -> None:
    """No call fails or is answered by two versions; a damaged version is refused and taken when it is repaired."""
    root = small_store(tmp_path / "store")
    small_bundle(root, version="v2", slope=-3.0)
    small_bundle(root, version="v3", slope=-4.0)
    store = Store(root)
    with ServeProcess(tmp_path / "serve", ["--models", str(root), "--keep-warm", "0.05", *OFTEN]) as server:
        callers = Callers(server.grpc)
        with callers.busy():
            wait_until(lambda: callers.versions, "calls are answered")
            store.activate("en", "v2")
            wait_until(lambda: server.metric(SWAPPED) == 1, "v2 serves")
            wait_until(lambda: not mapped(server, root / "en" / "v1"), "v1 is let go")
            whole, weights = tmp_path / "whole", root / "en" / "v3" / WEIGHTS_NAME
            whole.write_bytes(weights.read_bytes())
            weights.write_bytes(whole.read_bytes()[::-1])
            (root / "en" / "ACTIVE").write_text("v3\n")
            wait_until(lambda: server.metric(REFUSED) == 1, "v3 is refused")
            assert server.metric('clf_model_info{digest="') == 1
            whole.replace(weights)
            wait_until(lambda: server.metric(SWAPPED) == 2, "v3 serves")
        assert server.metric('clf_keep_warm_calls_total{outcome="failed"}') == 0
        assert server.terminate() == 0
    assert callers.codes == {grpc.StatusCode.OK}
    expected = {Classifier({"en": store.load("en", v)}).classify([ENGLISH], [None])[0] for v in ("v1", "v2", "v3")}
    assert callers.results == expected
    assert {len(versions) for versions in callers.versions} == {1}

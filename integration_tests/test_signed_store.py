"""Signed models behind a URL, from one process to the next: pushed, activated, served by a worker, tampered with."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from integration_tests.system import System, wait_until
from schemas.document import Document
from worker.tests.tools import clf, small_bundle

DOCUMENTS = [Document(f"https://a.example/{number}", "", "football goal", "en") for number in range(50)]


def publish(directory: Path, version: str, key: str | None) -> None:
    """Sign a model if there is a key, push it, and make it the active one, all by commands."""
    small_bundle(directory / "here", version=version)
    url = f"file://{directory}/published"
    sign = [["sign", "en", version, "--key", key, "--models", "here"]] if key else []
    push = ["push", "en", version, url, "--models", "here"]
    for command in (*sign, push, ["activate", "en", version, "--models", url, "--model-cache", "publisher"]):
        done = clf("models", *command)
        assert done.exit_code == 0, done.output


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A key, and a first model; the options with which others load it."""
    monkeypatch.chdir(tmp_path)
    assert clf("models", "keygen", "release").exit_code == 0
    publish(tmp_path, "v1", "release.pem")
    options = ["--models", f"file://{tmp_path}/published", "--model-cache", str(tmp_path / "cache")]
    return [*options, "--trusted-keys", str(tmp_path / "release.pub.pem")]


@pytest.mark.broker
def test_a_worker_serves_signed_models_from_a_url(system: System, published: list[str], tmp_path: Path) -> None:
    """What becomes active is copied and serves if signed; a start needs the store no more, and finds what changed."""
    with system.worker(*published, "--reload-interval", "0.1") as worker:
        worker.await_ready()
        system.send(DOCUMENTS)
        system.await_settled(len(DOCUMENTS))
        publish(tmp_path, "v2", "release.pem")
        wait_until(lambda: worker.events("model_swapped"), "v2 serves")
        publish(tmp_path, "v3", None)
        wait_until(lambda: worker.events("model_refused"), "v3 is refused")
        system.send(DOCUMENTS)
        system.await_settled(2 * len(DOCUMENTS))
        assert "refused (unsigned)" in str(worker.events("model_refused"))
        assert worker.terminate() == 0
    results = [orjson.loads(record.value or b"") for record in system.results()]
    assert [result["labels"] for result in results] == [["sport"]] * 2 * len(DOCUMENTS)
    assert Counter(result["model"]["version"] for result in results) == dict.fromkeys(("v1", "v2"), len(DOCUMENTS))
    (tmp_path / "published").rename(tmp_path / "away")
    with system.worker(*published, "--reload-interval", "0.1", name="again") as worker:
        worker.await_ready()
        assert 'version="v2"} 1.0' in worker.get("/metrics")[1]
        assert worker.terminate() == 0
        assert worker.log().count("There is no store at") == 1
    (copied,) = (tmp_path / "cache").glob("*/en/v2/manifest.json")
    copied.write_bytes(copied.read_bytes() + b" ")
    with system.worker(*published, name="tampered") as worker:
        wait_until(lambda: worker.process.poll() is not None, "the worker refuses to start")
        assert worker.process.returncode == 3
        assert "refused (bad_signature)" in worker.log()

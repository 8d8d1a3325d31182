"""Signed models behind a URL, from one process to the next: pushed, activated, served by a worker, tampered with."""

from pathlib import Path

import orjson
import pytest

from integration_tests.system import System, wait_until
from schemas.document import Document
from worker.tests.tools import clf, small_store

DOCUMENTS = [Document(f"https://a.example/{number}", "", "football goal", "en") for number in range(50)]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that was signed, pushed and activated by commands; the options with which others load it."""
    monkeypatch.chdir(tmp_path)
    small_store(tmp_path / "here")
    url = f"file://{tmp_path}/published"
    options = ["--models", url, "--model-cache", str(tmp_path / "cache")]
    for command in (
        ["keygen", "release"],
        ["sign", "en", "v1", "--key", "release.pem", "--models", "here"],
        ["push", "en", "v1", url, "--models", "here"],
        ["activate", "en", "v1", *options],
    ):
        assert clf("models", *command).exit_code == 0
    return [*options, "--trusted-keys", str(tmp_path / "release.pub.pem")]


@pytest.mark.broker
def test_a_worker_serves_a_signed_model_from_a_url(system: System, published: list[str], tmp_path: Path) -> None:
    """It copies the model, starts again without the store, and refuses to start with a copy somebody has changed."""
    with system.worker(*published) as worker:
        worker.await_ready()
        system.send(DOCUMENTS)
        system.await_settled(len(DOCUMENTS))
        assert worker.terminate() == 0
    results = [orjson.loads(record.value or b"") for record in system.results()]
    assert [result["labels"] for result in results] == [["sport"]] * len(DOCUMENTS)
    assert {result["model"]["version"] for result in results} == {"v1"}
    (tmp_path / "published").rename(tmp_path / "away")
    with system.worker(*published, name="again") as worker:
        worker.await_ready()
        assert len([line for line in worker.log().split("\n") if "There is no store at" in line]) == 1
        assert worker.terminate() == 0
    (copied,) = (tmp_path / "cache").glob("*/en/v1/manifest.json")
    copied.write_bytes(copied.read_bytes() + b" ")
    with system.worker(*published, name="tampered") as worker:
        wait_until(lambda: worker.process.poll() is not None, "the worker refuses to start")
        assert worker.process.returncode == 3
        assert "refused (bad_signature)" in worker.log()

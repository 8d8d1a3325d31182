"""The wheel, as it is installed: complete, without tests, and at work far from any checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parent.parent

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python with the unpacked wheel before everything else, in an empty directory."""
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    work = tmp_path_factory.mktemp("work")

    def call(*arguments: str, text: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=work, env=environment, input=text, capture_output=True, check=True)

    found = Path(call("-c", "import worker; print(worker.__file__)").stdout.decode().strip())
    assert site in found.parents, "the checkout was imported, not the wheel"
    return call


def test_it_holds_what_runs_and_no_tests(wheel: Path) -> None:
    """Code, schemas, the sample corpus and the local broker's files are in it; tests are not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in names if "tests/" in name or name.startswith("integration_tests")]
    assert {
        "schemas/document.schema.json",
        "schemas/classifier.proto",
        "training/sample/eng.jsonl",
        "worker/kafka/local/pom.xml",
        "worker/py.typed",
    } <= names
    assert [name for name in names if name.endswith("entry_points.txt")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_it_trains_evaluates_and_classifies(run: Run) -> None:
    """From the packaged sample to a classified document and a report, with nothing but the wheel."""
    sample = run("-c", "import training; print(training.__path__[0])").stdout.decode().strip() + "/sample/eng.jsonl"
    run("-m", "worker", "train", "--data", sample, "--lang", "en", "--models", "store", "--search", "none")
    page = run("-m", "worker", "evaluate", "--data", sample, "--lang", "en", "--models", "store", "--html", "page.html")
    assert b"micro" in page.stdout.lower()
    document = {"url": "u", "title": "Cup final", "text": "The striker scored twice in the match.", "lang": "en"}
    answer = run("-m", "worker", "classify", "--models", "store", "--format", "json", text=orjson.dumps(document))
    result = orjson.loads(answer.stdout)
    assert result["status"] == "classified"
    assert result["classes"][0]["name"] == "sport"


def test_its_command_line_answers(run: Run) -> None:
    """`clf --version` and the help of every command."""
    assert b"0.1.0" in run("-m", "worker", "--version").stdout
    listed = run("-c", "from worker.cli import COMMANDS; print(*COMMANDS)").stdout.decode().split()
    for command in listed:
        assert b"Usage: clf" in run("-m", "worker", command, "--help").stdout

"""The wheel, as it is installed: complete, without tests, and at work far from any checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from integration_tests.system import THOROUGH

ROOT = Path(__file__).parent.parent
KERNEL = f"models/_kernel{sysconfig.get_config_var('EXT_SUFFIX')}"

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def build(kind: str, out: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Build a wheel or an sdist of this checkout."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(ROOT)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    done = build("wheel", out)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def without_cargo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no cargo is found, on whatever machine."""
    empty = str(tmp_path_factory.mktemp("empty"))
    return {"PATH": empty, "CARGO_HOME": empty, "CLF_BUILD_KERNEL": "auto"}


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
    assert not [name for name in names if name.startswith("models/kernel/")]
    assert {
        "schemas/document.schema.json",
        "schemas/classifier.proto",
        "training/sample/eng.jsonl",
        "worker/kafka/local/pom.xml",
        "worker/py.typed",
    } <= names
    assert [name for name in names if name.endswith("entry_points.txt")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


@THOROUGH
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


def test_the_native_scorer_is_in_it(wheel: Path, run: Run) -> None:
    """Where there is Rust: one library, for this Python and platform, that is imported."""
    check = [sys.executable, str(ROOT / "deploy" / "kernel.py"), "check"]
    missing = subprocess.run(check, capture_output=True, text=True, check=False).stderr
    if missing or os.environ.get("CLF_BUILD_KERNEL") == "0":
        pytest.skip(missing or "CLF_BUILD_KERNEL=0")
    assert [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")] == [KERNEL]
    assert not wheel.name.endswith("-none-any.whl")
    found = run("-c", "import models._kernel; print(models._kernel.__file__)").stdout.decode().strip()
    assert found.endswith(KERNEL)
    assert not Path(found).is_relative_to(ROOT), "the checkout's library was imported, not the wheel's"


def test_without_rust_it_is_pure(tmp_path: Path, without_cargo: dict[str, str]) -> None:
    """No cargo is no error: the wheel has no library, not even one that lies in the checkout, and the build says so."""
    done = build("wheel", tmp_path, **without_cargo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING: the native scorer was not built: cargo was not found." in done.stderr
    assert "install Rust" in done.stderr
    [path] = tmp_path.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(path).namelist() if name.endswith(".so")]


def test_without_rust_it_fails_where_the_library_is_asked_for(tmp_path: Path, without_cargo: dict[str, str]) -> None:
    """CLF_BUILD_KERNEL=1 makes an error of it, in words for people."""
    done = build("wheel", tmp_path, **{**without_cargo, "CLF_BUILD_KERNEL": "1"})
    assert done.returncode != 0
    assert "CLF_BUILD_KERNEL=1 asks for the native scorer: cargo was not found." in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_source_distribution_can_build_it(tmp_path: Path) -> None:
    """It holds the crate, the hook and the script, and nothing that was compiled."""
    done = build("sdist", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(path, tmp_path, filter="data")
    root = path.with_name(path.name.removesuffix(".tar.gz"))
    names = {found.relative_to(root).as_posix() for found in root.rglob("*")}
    assert {"hatch_build.py", "deploy/kernel.py", "models/kernel/Cargo.toml", "models/kernel/src/lib.rs"} <= names
    assert not [name for name in names if name.startswith("models/kernel/target") or name.endswith((".so", ".lock"))]

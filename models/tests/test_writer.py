"""Writing a bundle: whole or not at all, never over another, and only what opens again."""

import errno
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from models import writer
from models.bundle import BundleContent, BundleError, BundleProblem, Manifest, write_bundle
from models.manifest import PIPELINE_NAME
from models.model import load_model

# Writes a bundle and kills itself at the moment that the second argument names.
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from models import writer
from models.bundle import BundleContent, Calibration, Fallback, VectorizerConfig

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

module, name = sys.argv[2].split(":")
setattr(writer if module == "writer" else Path, name, die)
content = BundleContent("en", ("a",), VectorizerConfig(), ("one", "two"), np.ones(2, "f4"), np.ones((2, 1), "f4"),
                        np.zeros(1, "f4"), Calibration((-1.0,), (0.0,)), (0.5,), Fallback.NONE, ("one two",), {}, {})
writer.write_bundle(Path(sys.argv[1]), "v1", content)
"""


def _refusal(directory: Path, content: BundleContent, **options: Any) -> BundleError:  # noqa: ANN401 - passed on
    with pytest.raises(BundleError) as caught:
        write_bundle(directory, directory.name, content, **options)
    return caught.value


def _left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.parent.iterdir()) if directory.parent.exists() else []


def test_returns_the_manifest_on_disk(tmp_path: Path, content: BundleContent) -> None:
    """The manifest that comes back is the one that was written, and only the bundle is left."""
    directory = tmp_path / "en" / "v1"
    manifest = write_bundle(directory, "v1", content)
    assert manifest == Manifest.from_json((directory / "manifest.json").read_bytes())
    assert _left(directory) == ["v1"]


def test_digest_depends_on_content_alone(tmp_path: Path, content: BundleContent) -> None:
    """Equal content gives an equal digest whatever its version and its pipeline; other content another one."""
    first = write_bundle(tmp_path / "v1", "v1", content, pipeline=[1])
    second = write_bundle(tmp_path / "v2", "v2", content, pipeline=[2])
    third = write_bundle(tmp_path / "v3", "v3", replace(content, thresholds=(0.5, 0.45, 0.41)))
    assert first.digest == second.digest != third.digest


def test_readable_by_other_users(tmp_path: Path, content: BundleContent) -> None:
    """The directory gets the usual permissions, so that workers of another account can open it."""
    before = os.umask(0o022)
    try:
        write_bundle(tmp_path / "v1", "v1", content)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "v1").stat().st_mode) == 0o755


def test_pipeline_is_kept_for_people(tmp_path: Path, content: BundleContent) -> None:
    """The pipeline can be loaded by whoever wants to, and is listed with its hash."""
    manifest = write_bundle(tmp_path / "v1", "v1", content, pipeline={"anything": 1})
    assert PIPELINE_NAME in manifest.files
    assert joblib.load(tmp_path / "v1" / PIPELINE_NAME) == {"anything": 1}


def test_directory_must_have_the_name_of_the_version(tmp_path: Path, content: BundleContent) -> None:
    """A directory of another name is a mistake of the caller."""
    with pytest.raises(BundleError, match="named like its version") as caught:
        write_bundle(tmp_path / "en", "v1", content)
    assert caught.value.reason is BundleProblem.CONTENT_INVALID


@pytest.mark.parametrize("kind", ["bundle", "empty directory", "file", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, content: BundleContent, kind: str) -> None:
    """Whatever has the name already stays as it is."""
    directory = tmp_path / "v1"
    if kind == "bundle":
        write_bundle(directory, "v1", content)
    elif kind == "empty directory":
        directory.mkdir()
    elif kind == "file":
        directory.write_text("mine", encoding="utf-8")
    else:
        directory.symlink_to(tmp_path / "nowhere")
    before = os.lstat(directory)
    assert _refusal(directory, replace(content, thresholds=(0.1, 0.1, 0.1))).reason is BundleProblem.ALREADY_EXISTS
    assert os.lstat(directory) == before
    assert _left(directory) == ["v1"]


def test_another_process_was_quicker(tmp_path: Path, content: BundleContent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that appears after the last look is not overwritten either."""
    write_bundle(tmp_path / "v1", "v1", content)
    digest = load_model(tmp_path / "v1").digest
    monkeypatch.setattr(writer, "_require_absent", lambda _directory: None)
    other = replace(content, thresholds=(0.1, 0.1, 0.1))
    assert _refusal(tmp_path / "v1", other).reason is BundleProblem.ALREADY_EXISTS
    assert load_model(tmp_path / "v1").digest == digest
    assert _left(tmp_path / "v1") == ["v1"]


@pytest.mark.parametrize("step", ["_save", "_write_manifest", "_verify", "sync"])
def test_full_disk(tmp_path: Path, content: BundleContent, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A disk that is full at any step leaves nothing behind and is reported as such."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer, step, fail)
    refusal = _refusal(tmp_path / "en" / "v1", content)
    assert refusal.reason is BundleProblem.WRITE_FAILED
    assert "No space left" in refusal.detail
    assert _left(tmp_path / "en" / "v1") == []


@pytest.mark.parametrize("moment", ["writer:_save", "writer:_write_manifest", "writer:_verify", "Path:rename"])
def test_killed_while_writing(tmp_path: Path, moment: str) -> None:
    """After kill -9 nothing stands under the final name, and the next attempt succeeds beside what is left."""
    directory = tmp_path / "en" / "v1"
    command = [sys.executable, "-c", KILLED_WRITER, str(directory), moment]
    finished = subprocess.run(command, cwd=Path(__file__).parents[2], check=False, timeout=60)
    assert finished.returncode == -signal.SIGKILL
    assert not directory.exists()
    assert [name.startswith(".") for name in _left(directory)] == [True]


def test_written_beside_what_a_kill_left(tmp_path: Path, content: BundleContent) -> None:
    """An unfinished directory is in nobody's way."""
    (tmp_path / ".v1.0123456789ab.tmp").mkdir()
    write_bundle(tmp_path / "v1", "v1", content)
    assert load_model(tmp_path / "v1").version == "v1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": np.zeros((2, 3), np.float32)}, BundleProblem.CONTENT_INVALID),
        ({"weights": np.zeros((2, 3), np.float64)}, BundleProblem.CONTENT_INVALID),
        ({"intercept": np.zeros(3, np.float64)}, BundleProblem.CONTENT_INVALID),
        ({"intercept": np.zeros(2, np.float32)}, BundleProblem.CONTENT_INVALID),
        ({"intercept": np.full(3, np.nan, np.float32)}, BundleProblem.CONTENT_INVALID),
        ({"idf": None}, BundleProblem.FILE_MISSING),
        ({"classes": ("a", "a", "b")}, BundleProblem.MANIFEST_INVALID),
        ({"thresholds": (0.5,)}, BundleProblem.MANIFEST_INVALID),
        ({"thresholds": (0.5, float("nan"), 0.5)}, BundleProblem.CONTENT_INVALID),
        ({"golden_texts": ()}, BundleProblem.GOLDEN_INVALID),
        ({"golden_texts": ("\ud800",)}, BundleProblem.CONTENT_INVALID),
        ({"golden_texts": "one text"}, BundleProblem.CONTENT_INVALID),
        ({"terms": ("a", "a")}, BundleProblem.TERMS_INVALID),
        ({"terms": ("a", "\ud800")}, BundleProblem.TERMS_INVALID),
        ({"lang": "../../etc"}, BundleProblem.MANIFEST_INVALID),
        ({"metrics": {"micro_f1": float("nan")}}, BundleProblem.CONTENT_INVALID),
        ({"metrics": {"plot": np.zeros(2)}}, BundleProblem.CONTENT_INVALID),
        ({"training": {"seed": {1, 2}}}, BundleProblem.CONTENT_INVALID),
    ],
    ids=str,
)
def test_content_that_would_not_open(
    tmp_path: Path, content: BundleContent, changes: dict[str, Any], reason: BundleProblem
) -> None:
    """What could not be served is refused at once, and nothing of it is left."""
    assert _refusal(tmp_path / "en" / "v1", replace(content, **changes)).reason is reason
    assert _left(tmp_path / "en" / "v1") == []


def test_weights_that_no_golden_document_meets(tmp_path: Path, content: BundleContent) -> None:
    """A NaN in a weight that no golden document uses is found all the same."""
    weights = content.weights.copy()
    weights[list(content.terms).index("striker")] = np.nan
    changed = replace(content, weights=weights, golden_texts=("The museum opened.",))
    assert _refusal(tmp_path / "en" / "v1", changed).reason is BundleProblem.NOT_FINITE


def test_metrics_with_numbers_for_names(tmp_path: Path, content: BundleContent) -> None:
    """Names that JSON turns into text do not disturb the digest."""
    metrics = {"micro_f1": 0.5, "by_size": {10: 0.1, 9: 0.2}}
    write_bundle(tmp_path / "v1", "v1", replace(content, metrics=metrics))
    assert load_model(tmp_path / "v1").version == "v1"

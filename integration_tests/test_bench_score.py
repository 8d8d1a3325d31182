"""`clf bench score` for real, on a corpus so small that its figures mean nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from integration_tests.system import CLF, THOROUGH
from models.native import why_unavailable

pytestmark = [pytest.mark.slow, THOROUGH]

CORPUS = Path(__file__).parent.parent / "training" / "sample" / "eng.jsonl"
SCORERS = ["reference scorer"] if why_unavailable() else ["native scorer", "reference scorer"]
SMALL = ["--search", "none", "--documents", "20", "--singles", "10", "--repeat", "2"]


def run(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, with models in `directory`."""
    command = [*CLF, "bench", "score", "--models", str(directory / "models"), *SMALL, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The first documents of each class of the sample corpus."""
    lines = CORPUS.read_text("utf-8").splitlines()
    by_class: dict[str, list[str]] = {}
    for line in lines:
        by_class.setdefault(json.loads(line)["labels"][0], []).append(line)
    path = tmp_path / "tiny.jsonl"
    path.write_text("\n".join(line for each in by_class.values() for line in each[:10]) + "\n", "utf-8")
    return path


def test_documents(tmp_path: Path, corpus: Path) -> None:
    """Both models are trained and measured with many classes beside, figures go to the file, tables to standard output.

    A second run trains nothing.
    """
    figures = tmp_path / "figures.json"
    options = ["--data", str(corpus), "--many", str(corpus), "--json", str(figures)]
    done = run(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert "tiny, pairs: 50 documents" in done.stdout
    assert "time per character" in done.stdout
    rows = json.loads(figures.read_bytes())["documents"]
    assert [(row["variant"], row["documents"]) for row in rows] == [("words", 50)] * 2 + [("pairs", 50)] * 2
    for row in rows:
        assert [each["contender"] for each in row["rows"]] == ["scikit-learn pipeline", *SCORERS]
        assert all(each["max_relative_difference"] <= 1e-5 for each in row["rows"])
        assert all(each["ratio"] > 0 and each["single_ratio"] > 0 for each in row["rows"])
    many = json.loads(figures.read_bytes())["many"]
    assert [(row["variant"], len(row["rows"])) for row in many] == [
        (name, len(SCORERS) + 1) for name in ("words", "pairs")
    ]
    again = run(tmp_path, "--data", str(corpus), "--variant", "words", "--json", "-")
    assert again.returncode == 0, again.stderr
    assert "training" not in again.stderr
    assert json.loads(again.stdout)["documents"][0]["terms"] == rows[0]["terms"]


def test_opening_and_growth(tmp_path: Path, corpus: Path) -> None:
    """A synthetic bundle is opened in fresh processes, growth is shown and drawn; standard output is JSON alone."""
    picture = tmp_path / "growth.svg"
    options = ["--data", str(corpus), "--variant", "words", "--no-corpus", "--open", "--growth", "--terms", "10000"]
    done = run(tmp_path, *options, "--plot", str(picture), "--json", "-")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [f"{row['scorer']} scorer" for row in facts["opening"]["rows"]] == SCORERS
    assert all(row["seconds"] > 0 for row in facts["opening"]["rows"])
    assert [curve["size"] for curve in facts["growth"]] == ["characters", "terms"]
    assert list(facts["growth"][0]["nanoseconds"]) == ["scikit-learn pipeline", *SCORERS]
    assert "<svg" in picture.read_text()

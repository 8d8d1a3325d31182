"""Quality on real articles, where they are present; they are not part of the project."""

import os
import subprocess
from pathlib import Path

import orjson
import pytest

from integration_tests.system import CLF, THOROUGH

NEWS = Path(os.environ.get("CLF_NEWS", Path(__file__).parents[2] / "shared" / "data" / "news"))


@THOROUGH
@pytest.mark.timeout(400)
@pytest.mark.skipif(not NEWS.is_dir(), reason=f"no real articles at {NEWS}; CLF_NEWS names another folder")
@pytest.mark.parametrize(("name", "least"), [("deu", 0.74), ("eng", 0.92)])
def test_default_training_reaches_its_target(name: str, least: float, tmp_path: Path) -> None:
    """What `clf train` chooses by itself is good enough on articles it has not seen; calibration is, too."""
    options = ["--lang", name, "--models", str(tmp_path)]
    subprocess.run([*CLF, "train", "--data", str(NEWS / f"{name}.train.jsonl.gz"), *options], check=True)
    measured = tmp_path / "measured.json"
    test = ["--data", str(NEWS / f"{name}.test.jsonl.gz"), "--json", str(measured)]
    subprocess.run([*CLF, "evaluate", *test, *options], check=True)
    found = orjson.loads(measured.read_bytes())
    assert found["micro_f1"] >= least
    assert found["calibration_error"] <= 0.05

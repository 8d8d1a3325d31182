"""`clf models`: what it prints, what it refuses, and with which exit code."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from models.bundle import BundleContent, Calibration, Fallback, VectorizerConfig, write_bundle
from models.store import Store
from worker.cli import main

CONTENT = BundleContent(
    lang="en",
    classes=("sport", "[bold]culture"),
    vectorizer=VectorizerConfig(),
    terms=("goal", "museum"),
    idf=np.array([1.5, 1.25], dtype=np.float32),
    weights=np.array([[1, -1], [-1, 1]], dtype=np.float32),
    intercept=np.array([-0.5, -0.25], dtype=np.float32),
    calibration=Calibration((-2.0, -2.0), (0.0, 0.0)),
    thresholds=(0.5, 0.375),
    fallback=Fallback.NONE,
    golden_texts=("a goal", "a museum"),
    training={"seed": 7, "parameters": {"C": 1.0}},
    metrics={"micro_f1": 0.9375},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an active and an inactive English model and a German one."""
    store = Store(tmp_path / "store")
    write_bundle(store.path("en", "v1"), "v1", CONTENT)
    write_bundle(store.path("en", "v2"), "v2", replace(CONTENT, metrics={"cross_validation": {"micro_f1": 0.875}}))
    write_bundle(store.path("de", "v1"), "v1", replace(CONTENT, lang="de"))
    store.activate("en", "v1")
    return store


def _damage(store: Store, lang: str, version: str, name: str = "weights.npy") -> None:
    path = store.path(lang, version) / name
    path.write_bytes(path.read_bytes()[:-1])


def _run(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], env={"CLF_MODELS": str(store.root)})


def test_list_for_people(store: Store) -> None:
    """The table says which version is active and how good and how large each is."""
    result = _run(store, "list")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if "v1" in line or "v2" in line]
    digest = store.manifest("en", "v1").digest[:16]
    assert [row[:2] for row in rows] == [["de", "v1"], ["en", "v1"], ["en", "v2"]]
    assert rows[1] == ["en", "v1", "yes", "2", "2", "0.9375", store.manifest("en", "v1").created, digest]
    assert "yes" not in rows[2]


def test_list_for_programs(store: Store) -> None:
    """The JSON form has the same, with null for what is not known."""
    entries = json.loads(_run(store, "list", "--json").stdout)
    assert [(entry["lang"], entry["version"], entry["active"]) for entry in entries] == [
        ("de", "v1", False),
        ("en", "v1", True),
        ("en", "v2", False),
    ]
    assert [entry["micro_f1"] for entry in entries] == [0.9375, 0.9375, 0.875]
    assert all(entry["problem"] is None and entry["classes"] == entry["terms"] == 2 for entry in entries)


@pytest.mark.parametrize("metrics", [{}, {"micro_f1": "good"}, {"cross_validation": {}}])
def test_list_without_a_metric(store: Store, metrics: dict[str, object]) -> None:
    """A model that was never measured is listed with nothing in place of the number."""
    write_bundle(store.path("fr", "v1"), "v1", replace(CONTENT, lang="fr", metrics=metrics))
    assert json.loads(_run(store, "list", "--json").stdout)[-1]["micro_f1"] is None
    assert "fr" in _run(store, "list").stdout


def test_list_goes_on_after_a_refused_model(store: Store) -> None:
    """A model with a damaged manifest has a row that says so; the others are listed as ever."""
    _damage(store, "de", "v1", "manifest.json")
    (store.path("de", "v1") / "manifest.json").write_text("{", encoding="utf-8")
    assert "refused" in _run(store, "list").stdout
    refused, *sound = json.loads(_run(store, "list", "--json").stdout)
    assert "manifest_not_json" in refused["problem"]
    assert refused["digest"] is None
    assert len(sound) == 2


def test_list_of_an_empty_store(tmp_path: Path) -> None:
    """An empty store is not an error, and the next step is named."""
    result = _run(Store(tmp_path), "list")
    assert result.exit_code == 0
    assert "clf train" in result.stdout


def test_list_of_a_missing_store(tmp_path: Path) -> None:
    """A store that does not exist is a refusal that names it."""
    result = _run(Store(tmp_path / "nothing"), "list")
    assert result.exit_code == 3
    assert str(tmp_path / "nothing") in result.stderr


def test_option_before_environment(store: Store, tmp_path: Path) -> None:
    """The option --models wins over CLF_MODELS."""
    result = _run(Store(tmp_path / "nothing"), "list", "--json", "--models", str(store.root))
    assert len(json.loads(result.stdout)) == 3


def test_default_store_is_in_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without option and variable it is ./model-store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLF_MODELS", raising=False)
    write_bundle(tmp_path / "model-store" / "en" / "v7", "v7", CONTENT)
    assert "v7" in CliRunner().invoke(main, ["models", "list"]).stdout


def test_show_the_active_version(store: Store) -> None:
    """Without a version the active one is shown, and any form of the language code will do."""
    result = _run(store, "show", "en-GB")
    assert result.exit_code == 0
    for part in (
        "v1 (active)",
        store.manifest("en", "v1").digest,
        "[bold]culture",
        "0.3750",
        "seed: 7",
        "micro_f1: 0.9375",
    ):
        assert part in result.stdout


def test_show_for_programs(store: Store) -> None:
    """The JSON form is the manifest, and whether it is active."""
    shown = json.loads(_run(store, "show", "en", "v2", "--json").stdout)
    assert (shown["active"], shown["version"], shown["thresholds"]) == (False, "v2", [0.5, 0.375])
    assert shown["files"]["weights.npy"]["bytes"] == (store.path("en", "v2") / "weights.npy").stat().st_size


def test_show_without_an_active_version(store: Store) -> None:
    """When none is active the versions to choose from are named."""
    result = _run(store, "show", "de")
    assert result.exit_code == 3
    assert "There is: v1" in result.stderr


@pytest.mark.parametrize(
    "command", [("show", "klingon!"), ("activate", "en"), ("show",), ("list", "--nonsense"), ("nonsense",)]
)
def test_wrong_usage(store: Store, command: tuple[str, ...]) -> None:
    """What cannot be understood is a usage error: exit code 2."""
    assert _run(store, *command).exit_code == 2


@pytest.mark.parametrize("command", ["show", "activate", "verify"])
@pytest.mark.parametrize("version", ["v9", "../v1"])
def test_missing_version(store: Store, command: str, version: str) -> None:
    """A version that is not there is a refusal in one line: exit code 3, no traceback."""
    result = _run(store, command, "en", version)
    assert result.exit_code == 3
    assert "Traceback" not in result.output
    assert version in result.output


def test_activate(store: Store) -> None:
    """Activating says what is active now and what was before."""
    result = _run(store, "activate", "eng", "v2")
    assert (result.exit_code, store.active("en")) == (0, "v2")
    assert "in place of v1" in result.stdout


def test_activate_refuses_a_damaged_model(store: Store) -> None:
    """A damaged model is refused with the reason, and the active one stays."""
    _damage(store, "en", "v2")
    result = _run(store, "activate", "en", "v2")
    assert (result.exit_code, store.active("en")) == (3, "v1")
    assert "size_mismatch" in result.stderr


def test_activate_repairs_a_damaged_choice(store: Store) -> None:
    """The advice of the error message works: activating replaces an unreadable ACTIVE file."""
    (store.root / "en" / "ACTIVE").write_text("../..", encoding="utf-8")
    assert _run(store, "show", "en").exit_code == 3
    assert _run(store, "activate", "en", "v1").exit_code == 0
    assert store.active("en") == "v1"


def test_verify_everything(store: Store) -> None:
    """All models are verified, each with a line of its own."""
    result = _run(store, "verify")
    assert result.exit_code == 0
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["ok", "de", "v1"],
        ["ok", "en", "v1"],
        ["ok", "en", "v2"],
    ]


def test_verify_finds_the_damaged_one(store: Store) -> None:
    """A damaged model does not keep the others from being verified, and the exit code tells."""
    _damage(store, "en", "v1")
    result = _run(store, "verify")
    assert result.exit_code == 3
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok", "refused", "ok"]
    assert "1 of 3" in result.stderr


def test_verify_some(store: Store) -> None:
    """Arguments narrow it down to a language or one version."""
    assert len(_run(store, "verify", "en").stdout.splitlines()) == 2
    assert len(_run(store, "verify", "en", "v2").stdout.splitlines()) == 1


def test_verify_nothing(store: Store) -> None:
    """A language without models cannot be called verified."""
    assert _run(store, "verify", "fr").exit_code == 3

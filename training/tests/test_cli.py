"""`clf train` and `clf evaluate` as a user calls them."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from models.signing import generate_keys
from models.store import Store
from training.cli import CANNOT_START, evaluate, train


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command of this package as `clf` would."""

    def invoke(command: str, *arguments: object, **environment: str) -> Result:
        group = click.Group("clf", context_settings={"auto_envvar_prefix": "CLF"})
        group.add_command(train, "train")
        group.add_command(evaluate, "evaluate")
        return CliRunner().invoke(group, [command, *map(str, arguments)], env=environment)

    return invoke


@pytest.fixture
def corpus_file(write_lines: Callable[..., Path], make_lines: Callable[..., list[Any]]) -> Path:
    """Forty-five documents of three classes."""
    return write_lines(make_lines(15), "train.jsonl")


def test_train_writes_an_active_model_and_says_what_is_next(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path
) -> None:
    """The summary names documents, classes, settings, scores, the place and the next command."""
    result = run("train", "--data", corpus_file, "--lang", "eng", "--models", tmp_path / "models")
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "models")
    version = store.active("en")
    assert version is not None
    assert re.fullmatch(r"\d{8}T\d{6}Z", version)
    for part in ("45 (one label each)", "3: 'business', 'health', 'sport'", "term_weight=", "micro-F1", "digest"):
        assert part in result.stdout
    assert f"Next: clf evaluate --models {tmp_path / 'models'} --lang en --version {version}" in result.stdout
    assert "Searching" in result.stderr


def test_train_and_evaluate_at_once(
    run: Callable[..., Result],
    corpus_file: Path,
    write_lines: Callable[..., Path],
    make_lines: Callable[..., list[Any]],
    tmp_path: Path,
) -> None:
    """--evaluate measures the new model on held-out documents."""
    held_out = write_lines(make_lines(5, seed=9), "test.jsonl")
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none", "--evaluate", held_out)
    result = run("train", "--data", corpus_file, *options)
    assert result.exit_code == 0, result.output
    assert "on 15 documents" in result.stdout
    assert "macro-F1" in result.stdout


def test_a_version_can_be_named_and_left_inactive(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path
) -> None:
    """--version and --no-activate."""
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none", "--version", "v1", "--no-activate")
    result = run("train", "--data", corpus_file, *options)
    assert result.exit_code == 0, result.output
    assert Store(tmp_path / "m").versions("en") == ["v1"]
    assert Store(tmp_path / "m").active("en") is None
    assert "not active" in result.stdout


def test_a_version_that_exists_is_refused_before_training(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path
) -> None:
    """Minutes of training are not wasted on a name that is taken."""
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none", "--version", "v1")
    assert run("train", "--data", corpus_file, *options).exit_code == 0
    again = run("train", "--data", corpus_file, *options)
    assert again.exit_code == CANNOT_START
    assert "exists" in again.stderr
    assert "Reading" not in again.stderr


def test_two_trainings_in_one_second_get_two_versions(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default name is made distinct."""
    monkeypatch.setattr("training.publish.version_now", lambda: "20261122T045600Z")
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none")
    for _ in range(2):
        assert run("train", "--data", corpus_file, *options).exit_code == 0
    assert Store(tmp_path / "m").versions("en") == ["20261122T045600Z", "20261122T045600Z-2"]


@pytest.mark.parametrize("version", ["../escape", "a/b", "", "ACTIVE", ".hidden"])
def test_a_version_cannot_leave_the_store(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path, version: str
) -> None:
    """Names that are no plain directory names are refused, and nothing is written."""
    result = run("train", "--data", corpus_file, "--lang", "en", "--models", tmp_path / "m", "--version", version)
    assert result.exit_code == CANNOT_START
    assert not (tmp_path / "m" / "en").exists()


def test_every_option_is_an_environment_variable(run: Callable[..., Result], corpus_file: Path, tmp_path: Path) -> None:
    """CLF_TRAIN_... and CLF_EVALUATE_... work alone."""
    place = {"LANG": "en", "MODELS": str(tmp_path / "m"), "DATA": str(corpus_file)}
    trained = run("train", **{f"CLF_TRAIN_{name}": value for name, value in place.items()}, CLF_TRAIN_SEARCH="none")
    assert trained.exit_code == 0, trained.output
    evaluated = run("evaluate", **{f"CLF_EVALUATE_{name}": value for name, value in place.items()})
    assert evaluated.exit_code == 0, evaluated.output


@pytest.mark.parametrize("command", [train, evaluate])
def test_every_option_has_help(command: click.Command) -> None:
    """--help teaches: no option without a sentence."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help is not None, parameter.name
            assert parameter.help.endswith("."), parameter.name


def test_more_files_may_follow(
    run: Callable[..., Result], write_lines: Callable[..., Path], make_lines: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """`--data a b` and `--data a --data b` read both files."""
    one, two = write_lines(make_lines(8), "a.jsonl"), write_lines(make_lines(8, seed=5), "b.jsonl")
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none")
    assert "48 (one label each) from 2 files" in run("train", "--data", one, two, *options).stdout
    assert "48 (one label each) from 2 files" in run("train", "--data", one, "--data", two, *options).stdout


def test_bad_lines_are_shown_and_training_goes_on(
    run: Callable[..., Result], write_lines: Callable[..., Path], make_lines: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """The first twenty with file and line, then how many more, then a count by kind."""
    path = write_lines([b"rubbish"] * 25 + make_lines(30))
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none", "--max-bad-share", "0.5")
    result = run("train", "--data", path, *options)
    assert result.exit_code == 0, result.output
    assert f"{path}:1: " in result.stderr
    assert f"{path}:20: " in result.stderr
    assert f"{path}:21: " not in result.stderr
    assert "and 5 more" in result.stderr
    assert "25 of 115 lines cannot be used: 25 not_json" in result.stderr


def test_too_many_bad_lines_end_with_one_sentence(
    run: Callable[..., Result], write_lines: Callable[..., Path], make_lines: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """Exit code 3, the bad lines and what to do; no traceback and no model."""
    path = write_lines([b"rubbish"] * 25 + make_lines(5))
    result = run("train", "--data", path, "--lang", "en", "--models", tmp_path / "m")
    assert result.exit_code == CANNOT_START
    assert f"{path}:1: " in result.stderr
    assert "Error: 25 of 40 lines are bad" in result.stderr
    assert Store(tmp_path / "m").versions("en") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--lang", "klingonish!"),
        ("--lang", "en", "--search", "some"),
        ("--lang", "en", "--c", "0"),
        ("--lang", "en", "--folds", "1"),
        ("--lang", "en", "--prefix", "1"),
        ("--lang", "en", "--max-bad-share", "2"),
        ("--lang", "en", "--thresholds", "best-only", "--fallback", "none"),
    ],
)
def test_wrong_options_are_usage_errors(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, before anything is read."""
    result = run("train", "--data", corpus_file, "--models", tmp_path / "m", *arguments)
    assert result.exit_code == 2
    assert "Reading" not in result.stderr


def test_a_store_that_is_a_file_is_refused(run: Callable[..., Result], corpus_file: Path, tmp_path: Path) -> None:
    """The path of a file cannot be a store."""
    (tmp_path / "m").write_text("not a directory")
    assert run("train", "--data", corpus_file, "--lang", "en", "--models", tmp_path / "m").exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_refused_before_training(
    run: Callable[..., Result], corpus_file: Path, tmp_path: Path
) -> None:
    """A read-only place is found out first."""
    (tmp_path / "m").mkdir(mode=0o500)
    result = run("train", "--data", corpus_file, "--lang", "en", "--models", tmp_path / "m")
    assert result.exit_code == CANNOT_START
    assert "Reading" not in result.stderr


@pytest.fixture
def store(run: Callable[..., Result], corpus_file: Path, tmp_path: Path) -> Path:
    """A store with one active English model."""
    options = ("--lang", "en", "--models", tmp_path / "m", "--search", "none", "--version", "v1")
    assert run("train", "--data", corpus_file, *options).exit_code == 0
    return tmp_path / "m"


def test_evaluate_writes_all_three_reports(
    run: Callable[..., Result],
    store: Path,
    write_lines: Callable[..., Path],
    make_lines: Callable[..., list[Any]],
    tmp_path: Path,
) -> None:
    """A table on the terminal, JSON and HTML in files, all with the same micro-F1."""
    data = write_lines(make_lines(6, seed=4), "test.jsonl")
    reports = ("--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
    result = run("evaluate", "--data", data, "--lang", "en", "--models", store, *reports)
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "r.json").read_text())
    assert (numbers["version"], numbers["documents"]) == ("v1", 18)
    shown = f"{numbers['micro_f1']:.4f}"
    assert shown in result.stdout
    assert shown in (tmp_path / "r.html").read_text()


def test_json_on_standard_output_is_nothing_but_json(
    run: Callable[..., Result], store: Path, corpus_file: Path
) -> None:
    """For pipes: the table goes to standard error."""
    result = run("evaluate", "--data", corpus_file, "--lang", "en", "--models", store, "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["documents"] == 45
    assert "micro-F1" in result.stderr


def test_evaluate_takes_one_document(
    run: Callable[..., Result], store: Path, write_lines: Callable[..., Path], make_lines: Callable[..., list[Any]]
) -> None:
    """There is no least number for measuring."""
    result = run("evaluate", "--data", write_lines(make_lines(1)[:1]), "--lang", "en", "--models", store)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--lang", "de"), "No version of 'de' is active"),
        (("--lang", "en", "--version", "v9"), "no version 'v9'"),
    ],
)
def test_evaluate_without_a_model_says_what_is_missing(
    run: Callable[..., Result], store: Path, corpus_file: Path, options: tuple[str, ...], says: str
) -> None:
    """Exit code 3 and a sentence."""
    result = run("evaluate", "--data", corpus_file, "--models", store, *options)
    assert result.exit_code == CANNOT_START
    assert says in result.stderr


def test_evaluate_refuses_a_damaged_model(run: Callable[..., Result], store: Path, corpus_file: Path) -> None:
    """A bundle that was changed is not measured."""
    weights = store / "en" / "v1" / "weights.npy"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    result = run("evaluate", "--data", corpus_file, "--lang", "en", "--models", store)
    assert result.exit_code == CANNOT_START
    assert "refused" in result.stderr


def test_a_report_into_a_missing_directory_is_one_sentence(
    run: Callable[..., Result], store: Path, corpus_file: Path, tmp_path: Path
) -> None:
    """The table is shown, and the file that cannot be written is named."""
    path = tmp_path / "missing" / "r.json"
    result = run("evaluate", "--data", corpus_file, "--lang", "en", "--models", store, "--json", path)
    assert result.exit_code == CANNOT_START
    assert "No such file" in result.stderr


def test_a_model_is_trained_into_a_directory(run: Callable[..., Result], corpus_file: Path) -> None:
    """A URL is refused before training, with the command that publishes a model."""
    result = run("train", "--data", corpus_file, "--lang", "en", CLF_MODELS="s3://bucket/models")
    assert result.exit_code == CANNOT_START
    assert "clf models push" in result.stderr
    assert "Reading" not in result.stderr


def test_evaluate_loads_what_a_worker_would(run: Callable[..., Result], corpus_file: Path, tmp_path: Path) -> None:
    """From a URL as well, and with trusted keys only what one of them has signed."""
    store = tmp_path / "m"
    trained = run("train", "--data", corpus_file, "--lang", "en", "--search", "none", "--models", store)
    assert trained.exit_code == 0, trained.output
    options = ("--data", corpus_file, "--lang", "en", "--models", f"file://{store}", "--model-cache", tmp_path / "c")
    result = run("evaluate", *options)
    assert result.exit_code == 0, result.output
    assert "macro-F1" in result.stdout
    generate_keys(tmp_path / "k.pem", tmp_path / "k.pub.pem")
    refused = run("evaluate", *options, CLF_TRUSTED_KEYS=str(tmp_path / "k.pub.pem"))
    assert refused.exit_code == CANNOT_START
    assert "unsigned" in refused.stderr

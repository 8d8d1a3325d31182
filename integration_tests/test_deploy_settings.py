"""Settings in the files of deploy/ are settings of clf, and compose.yml is what `docker compose` reads."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from integration_tests.deploy.tools import NEEDS_GO, run, tool
from worker.config import Guarantee, ServeConfig, WorkerConfig

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE = DEPLOY / "docker" / "compose.yml"
SUFFIXES = {".service", ".yaml", ".yml", ".env", ".aurora", ""}
# Of the installation, not of a command.
OTHERS = {"CLF_BUILD_KERNEL"}


def test_every_variable_is_an_option() -> None:
    """A misspelt CLF_... would be ignored without a word."""
    groups = [item.type for config in (WorkerConfig, ServeConfig) for item in fields(config)]
    known = {f"CLF_{item.name.upper()}" for group in groups for item in fields(group)} | OTHERS  # type: ignore[arg-type] # they are classes
    for path in [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix in SUFFIXES]:
        if "target" not in path.parts:
            found = set(re.findall(r"\bCLF_[A-Z_]+[A-Z]\b", path.read_text("utf-8")))
            assert found <= known, f"{path}: {found - known}"


def test_compose_lets_workers_drain() -> None:
    """Each has a slot of its own, and the time to stop in order; nothing is writable but /tmp."""
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    workers = {name: service for name, service in services.items() if name.startswith("worker-")}
    assert len({service["environment"]["CLF_SLOT"] for service in workers.values()}) == len(workers) == 2
    for service in workers.values():
        assert float(service["stop_grace_period"].removesuffix("s")) > Guarantee().drain_timeout
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])  # noqa: S108 - a name


def test_compose_mounts_what_is_there() -> None:
    """Each folder and file of the checkout that a container gets exists."""
    for name, service in yaml.safe_load(COMPOSE.read_text("utf-8"))["services"].items():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert not source.startswith(".") or (COMPOSE.parent / source).exists(), f"{name}: {source}"


@NEEDS_GO
@pytest.mark.timeout(1500)
def test_compose() -> None:
    """Read by the library of `docker compose config`: schema, and every reference from one part to another."""
    services = json.loads(run([tool("compose"), str(COMPOSE)]))["services"]
    assert {"kafka", "topics", "models", "worker-1", "worker-2", "serve", "crawler"} <= services.keys()
    assert {"prometheus", "alertmanager", "grafana"} <= services.keys()


@NEEDS_GO
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("restart: unless-stopped", "restarts: unless-stopped"),
        ("- models:/models:ro", "- model:/models:ro"),
        ("condition: service_healthy", "condition: service_well"),
        ("read_only: true", "read_only: yes please"),
        ("kafka: {condition", "kafk: {condition"),
    ],
)
def test_a_wrong_compose_file(tmp_path: Path, right: str, wrong: str) -> None:
    """The check above finds misspelt keys, volumes, conditions, values and services."""
    text = COMPOSE.read_text("utf-8")
    assert right in text
    (tmp_path / "compose.yml").write_text(text.replace(right, wrong), "utf-8")
    with pytest.raises(AssertionError, match="ended with 1"):
        run([tool("compose"), str(tmp_path / "compose.yml")])

"""A real Prometheus, a real Alertmanager and somebody who is told, for tests: each on a free port of its own.

The settings are those of deploy/prometheus, with other addresses and shorter times.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import yaml

from deploy.grafana.prometheus_api import answer
from integration_tests.ops_tools import program
from integration_tests.system import STOP_TIMEOUT_S, free_port, wait_until

SAMPLES = Path(__file__).parent.parent / "deploy" / "prometheus"
RULES = SAMPLES / "clf.rules.yml"
HOST = "127.0.0.1"


@dataclass(slots=True)
class Receiver:
    """A pager: keeps what Alertmanager sends it."""

    url: str
    notices: list[dict[str, Any]] = field(default_factory=list)

    def heard(self, alert: str, status: str) -> list[dict[str, Any]]:
        """The messages about an alert in one state: firing or resolved."""
        return [
            told
            for notice in list(self.notices)
            for told in notice["alerts"]
            if (told["labels"]["alertname"], told["status"]) == (alert, status)
        ]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """One, for the time of the block."""
    notices: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            notices.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing about it."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Receiver(f"http://{HOST}:{server.server_address[1]}", notices)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def alertmanager(directory: Path, told: Receiver) -> Iterator[str]:
    """One with the sample settings, in a hurry, that tells `told`; its "host:port"."""
    settings = yaml.safe_load((SAMPLES / "alertmanager.yml").read_text("utf-8"))
    settings["route"] |= {"group_wait": "100ms", "group_interval": "500ms"}
    for each in settings["receivers"]:
        for webhook in each["webhook_configs"]:
            webhook["url"] = f"{told.url}/{each['name']}"
    address = f"{HOST}:{free_port()}"
    options = [
        f"--config.file={_write(directory / 'alertmanager.yml', settings)}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with _running("prometheus-alertmanager", options, directory, address):
        yield address


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    address: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now."""
        return list(answer(f"http://{self.address}", "query", query=expression)["result"])

    def alerts(self) -> dict[str, str]:
        """The alerts that are pending or firing, with which of it."""
        found = answer(f"http://{self.address}", "alerts")["alerts"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in found}


@contextmanager
def prometheus(
    directory: Path, alertmanager: str, hurry: Callable[[str], str] = lambda rules: rules
) -> Iterator[Prometheus]:
    """One with the sample settings that scrapes what `directory`/targets/JOB.json names, every second.

    Args:
        directory: for its data, its settings and its log.
        alertmanager: whom it tells of alerts, as "host:port".
        hurry: changes the text of the rules, in a copy.
    """
    settings = yaml.safe_load((SAMPLES / "prometheus.yml").read_text("utf-8"))
    settings["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    settings["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    for job in settings["scrape_configs"]:
        job.pop("static_configs", None)
        for files in job.get("file_sd_configs", []):
            files["refresh_interval"] = "1s"  # beside its watch over the directory
    (directory / "targets").mkdir(exist_ok=True)
    (directory / RULES.name).write_text(hurry(RULES.read_text("utf-8")), "utf-8")
    address = f"{HOST}:{free_port()}"
    options = [
        f"--config.file={_write(directory / 'prometheus.yml', settings)}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
    ]
    with _running("prometheus", options, directory, address):
        yield Prometheus(address)


def scrape(directory: Path, addresses: Mapping[str, list[str]]) -> None:
    """Have the Prometheus of that directory scrape these: a job for each name. It never reads half of a list."""
    (directory / "targets").mkdir(exist_ok=True)
    for job, listed in addresses.items():
        new = directory / "targets" / f"{job}.new"
        new.write_text(json.dumps([{"targets": listed, "labels": {"dc": "here"}}]), "utf-8")
        new.rename(new.with_suffix(".json"))


def without_patience(rules: str) -> str:
    """The rules, with `for` two seconds each."""
    return re.sub(r"(?m)^( *for:) .*$", r"\1 2s", rules)


def _write(path: Path, settings: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


@contextmanager
def _running(name: str, options: list[str], directory: Path, address: str) -> Iterator[None]:
    log = directory / f"{name}.log"
    found = program(name)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [found, *options], cwd=found.parents[1], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: _ready(process, address), f"{name} is ready; its log is {log}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], address: str) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"It ended with {process.returncode}.")
    try:
        with urlopen(f"http://{address}/-/ready", timeout=5) as ready:
            return bool(ready.status == 200)
    except OSError:
        return False

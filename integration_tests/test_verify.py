"""`clf verify` on a real broker: it passes what a worker did, and catches what a bad one did."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from urllib.request import urlopen

import orjson
import pytest

from integration_tests.broker import Record, ToSend
from integration_tests.system import CLF, System, numbered, wait_until
from schemas.classification import decode_classification
from schemas.document import Document

pytestmark = pytest.mark.broker

_PATIENCE = ("--patience", "1")


def verify(system: System, *options: str | Path) -> tuple[int, dict[str, Any]]:
    """Run it to its end; the exit code and the report."""
    command = [*CLF, "verify", *system.options(), "--json", *map(str, options)]
    found = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert found.returncode in {0, 1}, found.stderr.decode()
    return found.returncode, orjson.loads(found.stdout)


def found_in(report: dict[str, Any]) -> dict[str, int]:
    """The kinds that were found, with their counts."""
    return {kind: count for kind, count in report["findings"].items() if count}


def settle(system: System, documents: Sequence[Document], *options: str) -> None:
    """Have a worker settle these documents, and stop it."""
    system.send(documents)
    with system.worker(*options) as worker:
        system.await_settled(len(documents))
        assert worker.terminate() == 0


def test_what_a_worker_did_holds(system: System, sample: list[Document], model_store: Path) -> None:
    """Three languages, a dead letter, a tombstone, a kill in between: all recomputed, nobody disturbed, exit 0."""
    documents = system.send(numbered(sample, 3000))
    system.kafka.produce(system.documents, [ToSend(b"poison", b"p"), ToSend(None, b"gone", (("h", b"1"),))])
    with system.worker("--models", str(model_store), "--max-records", "100") as worker:
        system.await_settled(500)
        worker.kill()
    with system.worker("--models", str(model_store), name="second") as worker:
        system.await_settled(len(documents) + 2)
        assert worker.terminate() == 0
    before = system.kafka.committed_offsets(system.group, system.documents)
    code, report = verify(system, "--recompute", "1", "--models", model_store)
    assert (code, report["holds"]) == (0, True), report["examples"]
    assert system.kafka.committed_offsets(system.group, system.documents) == before
    totals = {name: sum(p[name] for p in report["partitions"]) for name in ("documents", "recomputed", "lag")}
    assert totals == {"documents": 3002, "recomputed": 3001, "lag": 0}
    assert len(report["models"]) == 3
    command = [*CLF, "verify", *system.options(), "--models", str(model_store)]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    assert "All holds: 3,002 documents, each with exactly one outcome, in order." in shown


def test_what_was_planted_is_found(system: System, sample: list[Document], model_store: Path) -> None:
    """Copies of right results with one lost, one doubled, two swapped and one changed: exactly that, exit 1."""
    settle(system, list(numbered(sample, 400)), "--models", str(model_store))
    results = [record for record in system.results() if record.partition == 0]
    assert len(results) > 20
    changed = decode_classification(results[12].value or b"")._replace(labels=())
    spoiled: list[Record] = [*results[:2], *results[3:6], results[5], results[7], results[6], *results[8:]]
    spoiled[spoiled.index(results[12])] = results[12]._replace(value=changed.to_json())
    copy = replace(system, classifications=f"{system.classifications}.spoiled")
    system.kafka.create_topic(copy.classifications, partitions=4, config={"max.message.bytes": "1200000"})
    try:
        others = [record for record in system.results() if record.partition > 0]
        sent = [ToSend(r.value, r.key, r.headers, r.partition) for r in (*spoiled, *others)]
        system.kafka.produce(copy.classifications, sent)
        code, report = verify(copy, "--recompute", "1", "--models", model_store)
    finally:
        system.kafka.delete_topics(copy.classifications)
    assert code == 1
    assert found_in(report) == {"missing": 1, "doubled": 1, "reordered": 1, "different": 1}
    assert [p["partition"] for p in report["partitions"] if any(p["findings"].values())] == [0]


def test_documents_in_other_fields_are_recomputed(system: System, sample: list[Document], model_store: Path) -> None:
    """With the --fields of the worker all holds; without them no document is one, and the audit says so."""
    crawled = [
        orjson.dumps({"link": d.url, "page": {"title": d.title, "body": d.text}, "lang": d.lang}) for d in sample
    ]
    system.kafka.produce(system.documents, [ToSend(value, b"k") for value in crawled])
    fields = ("--fields", "url=link,title=page.title,text=page.body")
    with system.worker("--models", str(model_store), *fields) as worker:
        system.await_settled(len(crawled))
        assert worker.terminate() == 0
    assert system.letters() == []
    recompute = ("--recompute", "1", "--models", str(model_store))
    assert verify(system, *recompute, *fields) == (0, ANY)
    code, report = verify(system, *recompute)
    assert (code, found_in(report)) == (1, {"different": len(crawled)})


@pytest.mark.parametrize("kind", ["auto-commit", "random-transactional-id"])
def test_a_bad_worker_is_caught(system: System, sample: list[Document], kind: str) -> None:
    """Committing what is not published loses documents; an id that nobody fences leaves a transaction open."""
    system.send(numbered(sample, 1000))
    command = [sys.executable, "-m", "integration_tests.bad_workers", kind, system.kafka.bootstrap_servers]
    command += [system.documents, system.classifications, system.group, "500"]
    died = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    code, report = verify(system, "--recompute", "0", *_PATIENCE)
    assert code == 1
    found = found_in(report)
    if kind == "auto-commit":
        assert found.keys() == {"missing"}
        assert found["missing"] > 50
    else:
        assert found.keys() == {"open_transaction"}


def test_it_follows_and_tells(system: System, sample: list[Document], tmp_path: Path) -> None:
    """With a worker at work there is nothing to find; what is planted shows up in the metrics and on standard error."""
    settle(system, list(numbered(sample, 200)), "--no-scoring")
    with watching(system, tmp_path, "--recompute", "0", "--interval", "0.3") as watch:
        wait_until(lambda: _metric(tmp_path, "clf_verify_last_look_timestamp_seconds") > 0, "it has looked")
        settle(system, list(numbered(sample, 300, "https://later.example/")), "--no-scoring")
        wait_until(lambda: _metric(tmp_path, "clf_verify_documents_total") == 300, "it has seen the new ones")
        assert _metric(tmp_path, 'clf_verify_findings{finding="doubled"}') == 0
        again = system.results()[-1]
        system.kafka.produce(system.classifications, [ToSend(again.value, again.key, (), again.partition)])
        wait_until(lambda: _metric(tmp_path, 'clf_verify_findings{finding="doubled"}') == 1, "it tells of it")
        watch.send_signal(signal.SIGTERM)
        output, errors = watch.communicate(timeout=30)
    assert watch.returncode == 1
    assert found_in(orjson.loads(output)) == {"doubled": 1}
    assert f"doubled: {system.classifications}/{again.partition}/" in errors.decode()
    assert not (tmp_path / "verify.json").exists()


@contextmanager
def watching(system: System, directory: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`clf verify --follow` for the time of the block."""
    command = [*CLF, "verify", *system.options(), "--follow", "--json", "--http-port", "0"]
    command += ["--service-file", str(directory / "verify.json"), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until((directory / "verify.json").exists, "it has its port")
        yield process
    finally:
        process.kill()
        process.wait()


def _metric(directory: Path, name: str) -> float:
    address = orjson.loads((directory / "verify.json").read_bytes())["services"]["clf-health"]
    with urlopen(f"http://{address}/metrics", timeout=5) as answer:
        lines = answer.read().decode().split("\n")
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

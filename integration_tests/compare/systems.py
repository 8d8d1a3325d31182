"""The systems: how each is installed and started, and the form that it wants its documents in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from integration_tests.broker import Headers
from integration_tests.system import CLF, free_port
from schemas.document import Document

_HERE = Path(__file__).parent
LANG = "en"  # the others serve one model
MODEL = "clf"  # its name at MLServer


@dataclass(frozen=True, slots=True)
class Place:
    """What a system is started with.

    Attributes:
        directory: its own, for whatever it writes.
        models: the store of `clf`.
        pipeline: the same model in scikit-learn's form.
    """

    servers: str
    documents: str
    results: str
    dead_letters: str
    group: str
    directory: Path
    models: Path
    pipeline: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """One system with one delivery guarantee.

    Attributes:
        name: as in the table.
        requirements: of its environment; None for our own.
        command: from its environment's Python and its place to the command line.
        encode: from a document to value and headers.
    """

    name: str
    title: str
    requirements: Path | None
    command: Callable[[Path, Place], list[str]]
    encode: Callable[[Document], tuple[bytes, Headers]]


def _clf(delivery: str) -> Callable[[Path, Place], list[str]]:
    def command(python: Path, place: Place) -> list[str]:
        del python
        topics = ("--documents", place.documents, "--classifications", place.results)
        cluster = ("--bootstrap-servers", place.servers, "--group", place.group, "--dead-letters", place.dead_letters)
        own = ("--models", f"{place.models}", "--delivery", delivery, "--slot", "0", "--http-port", "0")
        return [*CLF, "worker", *cluster, *topics, *own]

    return command


def _quix(guarantee: str) -> Callable[[Path, Place], list[str]]:
    def command(python: Path, place: Place) -> list[str]:
        own = (place.servers, place.documents, place.results, place.group, guarantee, f"{place.pipeline}")
        return [f"{python}", f"{_HERE / 'quix_app.py'}", *own]

    return command


def _mlserver(python: Path, place: Place) -> list[str]:
    """Its Kafka mode has four settings, and none for a group, for offsets or for transactions."""
    settings = {
        "kafka_enabled": True,
        "kafka_servers": place.servers,
        "kafka_topic_input": place.documents,
        "kafka_topic_output": place.results,
        "host": "127.0.0.1",
        "parallel_workers": 0,  # the processes of its pool die at their start in this environment
        **{port: free_port() for port in ("http_port", "grpc_port", "metrics_port")},
    }
    model = {
        "name": MODEL,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": f"{place.pipeline}", "version": "1"},
    }
    (place.directory / "settings.json").write_bytes(orjson.dumps(settings))
    (place.directory / "model-settings.json").write_bytes(orjson.dumps(model))
    return [f"{python.parent / 'mlserver'}", "start", f"{place.directory}"]


def _as_document(document: Document) -> tuple[bytes, Headers]:
    return document.to_json(), ()


def _as_inference(document: Document) -> tuple[bytes, Headers]:
    """A request of the inference protocol, version 2; the key becomes its id, and the answer's."""
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [document.content]}
    request = {"inputs": [text], "parameters": {"content_type": "str"}}
    return orjson.dumps(request), (("mlserver-model", MODEL.encode()),)


_MLSERVER, _QUIX = _HERE / "mlserver.txt", _HERE / "quix.txt"
CONTENDERS = (
    Contender("clf", "clf, exactly once (default)", None, _clf("exactly-once"), _as_document),
    Contender("clf-at-least-once", "clf, at least once", None, _clf("at-least-once"), _as_document),
    Contender("quix", "Quix Streams, exactly once", _QUIX, _quix("exactly-once"), _as_document),
    Contender(
        "quix-at-least-once", "Quix Streams, at least once (default)", _QUIX, _quix("at-least-once"), _as_document
    ),
    Contender("mlserver", "MLServer, Kafka mode", _MLSERVER, _mlserver, _as_inference),
)

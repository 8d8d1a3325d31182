"""A few seconds of callers that mean no good, on each open port; `make fuzz-ports` is the whole."""

from collections.abc import Iterator

import pytest

from integration_tests.hostile.siege import Target, besiege
from integration_tests.hostile.targets import server_grpc, server_http, small_server, worker_http
from integration_tests.serving import ServeProcess
from integration_tests.system import System
from worker.tests.tools import small_store

SECONDS, SEED = 5.0, 20_261_126


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server of a small model."""
    directory = tmp_path_factory.mktemp("hostile")
    with small_server(directory / "serve", small_store(directory / "models")) as process:
        yield process


def test_the_http_port_of_a_server(server: ServeProcess) -> None:
    """It answers good callers throughout, keeps nothing, and logs no stack trace."""
    with server_http(server) as target:
        assert_it_holds(target)


def test_the_grpc_port(server: ServeProcess) -> None:
    """The same, of HTTP/2 and of calls; none stays in hand."""
    with server_grpc(server) as target:
        assert_it_holds(target)
    assert server.metric("clf_calls_in_hand") == 0


@pytest.mark.broker
def test_the_http_port_of_a_worker(system: System) -> None:
    """The same, beside the work on Kafka."""
    with worker_http(system) as target:
        assert_it_holds(target)


def assert_it_holds(target: Target) -> None:
    """All of it, after a siege that did happen."""
    outcome = besiege(target, SECONDS, SEED)
    assert outcome.problems == [], str(outcome)
    assert outcome.attacks.total() > 20, str(outcome)
    assert outcome.good_calls > 5, str(outcome)

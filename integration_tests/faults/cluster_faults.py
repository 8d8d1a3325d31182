"""What befalls one broker of three, and leaves the others with its work."""

from collections.abc import Callable

from confluent_kafka import KafkaException

from integration_tests.faults.cluster import (
    OFFSETS,
    TRANSACTIONS,
    await_preferred_leaders,
    await_whole,
    group_coordinator,
    leader,
    transaction_coordinator,
)
from integration_tests.faults.fault import Fault, Inject, recover
from integration_tests.faults.stage import Place, Setting, Stage, Verdict
from integration_tests.system import wait_until

_NOBODY = -1
_FOUND_SECONDS = 90.0
_AWAY_SECONDS = 8.0  # others take over 3 s after its last sign of life


def kill_node(find: Callable[[Stage], int]) -> Inject:
    """The broker that has a part in the system's work is killed, of three; it comes back after some seconds.

    `find` names it; while it is away, that part must be another one's.
    """

    def inject(stage: Stage, verdict: Verdict, rounds: int) -> None:
        for _ in range(rounds):
            _await_spare(stage)
            node = _another(find, stage, than=_NOBODY)
            broker = stage.around.brokers[node - 1]
            assert broker.running is not None, "all brokers run"
            directory, port = broker.running.directory, broker.running.port
            began = stage.clock.monotonic()
            broker.kill()
            stage.clock.sleep(_AWAY_SECONDS)
            _another(find, stage, than=node)
            broker.start(directory, port=port, follow_parent=True)
            recover(stage, verdict, began)

    return inject


def _another(find: Callable[[Stage], int], stage: Stage, *, than: int) -> int:
    """Wait until somebody has that part, and not that one."""
    found, refused = _NOBODY, ""

    def somebody() -> bool:
        nonlocal found, refused
        try:
            found = find(stage)
        except KafkaException as error:  # who has just taken it over is not ready to answer for a moment
            refused = f"; the last answer was {error}"
        return found not in {_NOBODY, than}

    try:
        wait_until(somebody, f"another broker than {than} has the part", _FOUND_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}{refused}") from error
    return found


def restart_in_turn(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """Each broker is stopped as an operator does, started again, and given back the partitions it prefers."""
    for n in range(rounds):
        _await_spare(stage)
        broker = stage.around.brokers[n % len(stage.around.brokers)]
        assert broker.running is not None, "all brokers run"
        directory, port = broker.running.directory, broker.running.port
        began = stage.clock.monotonic()
        broker.stop()
        broker.start(directory, port=port, follow_parent=True)
        _await_spare(stage)
        await_preferred_leaders(stage.around.kafka, *stage.system.topics)
        recover(stage, verdict, began)


def _await_spare(stage: Stage) -> None:
    await_whole(stage.around.kafka, *stage.system.topics, OFFSETS, TRANSACTIONS)


def _leader_of_documents(stage: Stage) -> int:
    return leader(stage.around.kafka, stage.system.documents, 0)


def _leader_of_results(stage: Stage) -> int:
    return leader(stage.around.kafka, stage.system.classifications, 0)


def _group_coordinator(stage: Stage) -> int:
    return group_coordinator(stage.around.kafka, stage.system.group)


def _transaction_coordinator(stage: Stage) -> int:
    return transaction_coordinator(stage.around.kafka, f"{stage.system.group}-0")


_THREE = Setting(place=Place.THREE_BROKERS)

FAULTS_OF_THREE = (
    Fault(
        "coordinator",
        "the group's coordinator killed, of three brokers",
        kill_node(_group_coordinator),
        2,
        _THREE,
    ),
    Fault(
        "transaction-coordinator",
        "a worker's transaction coordinator killed, of three",
        kill_node(_transaction_coordinator),
        2,
        _THREE,
    ),
    Fault("leader-input", "a leader of the documents killed, of three", kill_node(_leader_of_documents), 2, _THREE),
    Fault("leader-output", "a leader of the results killed, of three", kill_node(_leader_of_results), 2, _THREE),
    Fault("rolling", "each of three brokers restarted, leaders moved back", restart_in_turn, 3, _THREE),
)

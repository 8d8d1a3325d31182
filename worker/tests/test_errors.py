"""What an error means by itself. What the adapters make of it is tested in test_error_table.py, on a mock cluster."""

from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError

from worker.kafka.errors import ACTIONS, NOTHING, Needs, on_group, on_topic, translate
from worker.stream.errors import (
    AbortableError,
    BreakerOpenError,
    DeniedError,
    FatalError,
    FencedError,
    RetriableError,
    StreamError,
)
from worker.tests.mock_cluster import codes

RIGHTS = Needs(
    on_topic("WRITE", "results", "dead") + on_topic("READ", "documents"),
    on_group("READ", "clf"),
    "WRITE on transactional-id clf-0",
)


@dataclass(frozen=True)
class Told:
    """What a client error tells."""

    called: str = "SOME_ERROR"
    is_fatal: bool = False
    is_retriable: bool = False
    needs_abort: bool = False

    def name(self) -> str:
        """Its name."""
        return self.called

    def fatal(self) -> bool:
        """As given."""
        return self.is_fatal

    def retriable(self) -> bool:
        """As given."""
        return self.is_retriable

    def txn_requires_abort(self) -> bool:
        """As given."""
        return self.needs_abort

    def str(self) -> str:
        """The client's words."""
        return "Broker: No"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Told(), FatalError),
        (Told(is_fatal=True), FatalError),
        (Told(is_retriable=True), RetriableError),
        (Told(is_retriable=True, is_fatal=True), FatalError),
        (Told(needs_abort=True), AbortableError),
        (Told(needs_abort=True, is_retriable=True), AbortableError),
    ],
)
def test_what_is_not_in_the_table(error: Told, verdict: type[StreamError]) -> None:
    """The client's word counts; when it says nothing, the worker ends."""
    assert type(translate(error, "testing")) is verdict


@pytest.mark.parametrize("name", ACTIONS)
def test_the_severer_of_the_two_counts(name: str) -> None:
    """The client may ask for more than the table, never for less."""
    listed = ACTIONS[name]
    assert type(translate(Told(name), "x")) is listed
    assert type(translate(Told(name, is_retriable=True), "x")) is listed
    aborting = AbortableError if listed is RetriableError else listed
    assert type(translate(Told(name, needs_abort=True), "x")) is aborting
    dying = FatalError if listed in {RetriableError, AbortableError} else listed
    assert type(translate(Told(name, is_fatal=True), "x")) is dying


def test_names_are_spelled_as_the_client_spells_them() -> None:
    """A row of the table that no client error can ever meet would be a false promise."""
    assert set(ACTIONS) <= set(codes())


def test_the_clients_own_errors_fit() -> None:
    """A real client error can be translated."""
    fenced = KafkaError(KafkaError._FENCED, "Producer fenced", fatal=True)
    assert type(translate(fenced, "x")) is FencedError
    assert type(translate(KafkaError(KafkaError._TIMED_OUT, "slow", retriable=True), "x")) is RetriableError


def test_the_sentence() -> None:
    """It has the client's words, the error's name and what was being done, and what helps where they do not tell."""
    sentence = str(translate(Told("NOT_COORDINATOR"), "committing the transaction"))
    assert sentence == "Broker: No (NOT_COORDINATOR) while committing the transaction"
    assert "--slot" in str(translate(Told("PRODUCER_FENCED"), "sending"))
    assert "--transaction-timeout" in str(translate(Told("INVALID_TRANSACTION_TIMEOUT"), "opening"))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        (
            "TOPIC_AUTHORIZATION_FAILED",
            "WRITE on topic dead and the right WRITE on topic results and the right READ on topic documents",
        ),
        ("GROUP_AUTHORIZATION_FAILED", "READ on group clf"),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "WRITE on transactional-id clf-0"),
        ("CLUSTER_AUTHORIZATION_FAILED", "IDEMPOTENT_WRITE on the cluster"),
    ],
)
def test_the_missing_right_is_named(name: str, right: str) -> None:
    """By Kafka's own names, so that an operator can grant it."""
    error = translate(Told(name), "publishing", RIGHTS)
    assert isinstance(error, DeniedError)
    assert str(error).endswith(f". The user of this client needs the right {right}.")


def test_a_right_nobody_named() -> None:
    """Where the caller does not know what it needs, nothing is made up."""
    assert str(translate(Told("TOPIC_AUTHORIZATION_FAILED"), "x", NOTHING)).endswith("while x")


@pytest.mark.parametrize("name", ["_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"])
def test_wrong_credentials(name: str) -> None:
    """They are no right, but only a person can put them right too."""
    error = translate(Told(name), "connecting")
    assert isinstance(error, DeniedError)
    assert "sasl.*" in str(error)


def test_those_that_end_the_worker_are_fatal() -> None:
    """Whoever handles fatal errors handles them too."""
    assert issubclass(BreakerOpenError, FatalError)
    assert issubclass(DeniedError, FatalError)
    assert not issubclass(FatalError, (AbortableError, RetriableError, FencedError))

"""librdkafka settings: what a file may say, who gets what, and what may be shown."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer

from worker.config import GroupProtocol
from worker.kafka.consumer import GroupSource
from worker.kafka.producer import TransactionalPublisher
from worker.kafka.settings import (
    OWNED,
    Settings,
    SettingsError,
    common,
    consumer,
    producer,
    read_properties,
    redacted,
    transactional,
)
from worker.kafka.turns import TURN_BYTES, TURN_RECORDS


def written(directory: Path, content: str | bytes) -> Path:
    """A properties file with that content."""
    path = directory / "kafka.properties"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- the file ------------------------------------------------------------------------------------------------


def test_no_file_means_no_settings() -> None:
    """The option is optional."""
    assert read_properties(None) == {}


def test_a_properties_file(tmp_path: Path) -> None:
    """Comments, blank lines, spaces, Windows line ends, a byte order mark and equals signs in values are fine."""
    content = (
        "\ufeff# a comment\r\n! another\r\n\r\n security.protocol = SASL_SSL \r\nsasl.password=a=b#c\r\nempty=\r\n"
    )
    expected = {"security.protocol": "SASL_SSL", "sasl.password": "a=b#c", "empty": ""}
    assert read_properties(written(tmp_path, content)) == expected


@pytest.mark.parametrize("line", ["no equals sign", "=value", "  = "])
def test_a_malformed_line_is_named_not_quoted(tmp_path: Path, line: str) -> None:
    """The message has the line's number; not its content, which may be half of a secret."""
    with pytest.raises(SettingsError, match="line 2: expected key=value") as caught:
        read_properties(written(tmp_path, f"# fine\n{line}\n"))
    assert "no equals sign" not in str(caught.value)


@pytest.mark.parametrize("content", [b"sasl.password=\xff\xfe", None])
def test_an_unreadable_file(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not UTF-8, or not there, is named."""
    path = tmp_path / "absent" if content is None else written(tmp_path, content)
    with pytest.raises(SettingsError, match=str(path)):
        read_properties(path)


@pytest.mark.parametrize("scope", ["", "consumer.", "producer."])
@pytest.mark.parametrize("key", sorted(OWNED))
def test_owned_keys_are_refused(tmp_path: Path, key: str, scope: str) -> None:
    """What the guarantee or an option rests on cannot be set in a file, under any scope; the line is named."""
    with pytest.raises(SettingsError, match=rf"line 1: {scope}{key} is set by clf itself"):
        read_properties(written(tmp_path, f"{scope}{key}=x"))


@pytest.mark.parametrize(
    "key",
    [
        "bootstrap.servers",
        "metadata.broker.list",  # the same under librdkafka's older name
        "enable.auto.commit",
        "enable.idempotence",
        "group.id",
        "isolation.level",
        "transactional.id",
        "transaction.timeout.ms",  # --transaction-timeout
    ],
)
def test_what_must_be_owned(key: str) -> None:
    """The list itself, as far as exactly-once depends on it."""
    assert key in OWNED


@pytest.mark.parametrize("key", ["throttle_cb", "oauth_cb", "on_commit", "logger", "default.topic.config"])
def test_python_objects_cannot_stand_in_a_file(tmp_path: Path, key: str) -> None:
    """The client takes callbacks under some keys; a string there would end in a stack trace."""
    with pytest.raises(SettingsError, match=f"line 1: {key} cannot be set in a file"):
        read_properties(written(tmp_path, f"{key}=x"))


# --- who gets what -----------------------------------------------------------------------------------------------


def test_scopes() -> None:
    """A scoped key reaches its own kind of client only, and wins over the one without scope, in any order."""
    properties = {"consumer.client.id": "c", "client.id": "all", "producer.linger.ms": "9", "debug": "cgrp"}
    base = {"bootstrap.servers": "b:1", "debug": "cgrp"}
    assert common("b:1", properties, "consumer") == {**base, "client.id": "c"}
    assert common("b:1", properties, "producer") == {**base, "client.id": "all", "linger.ms": "9"}
    assert common("b:1", properties, "admin") == {**base, "client.id": "all"}


def test_the_consumer_commits_nothing_by_itself() -> None:
    """Committed reads only, from the beginning, and no offset is committed or stored behind the loop's back."""
    settings = consumer({}, "g", GroupProtocol.CLASSIC)
    expected: Settings = {
        "group.id": "g",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "group.protocol": "classic",
    }
    assert {key: settings[key] for key in expected} == expected


def test_what_is_fetched_ahead_is_bounded() -> None:
    """A partition that has to rest loses what was fetched of it; and an answer to a fetch is small beside that."""
    settings = consumer({}, "g", GroupProtocol.CLASSIC)
    assert (settings["fetch.max.bytes"], settings["queued.min.messages"]) == (2**20, 2 * TURN_RECORDS)
    assert settings["queued.max.messages.kbytes"] == 2 * TURN_BYTES / 1024


@pytest.mark.parametrize("base", [{}, {"message.max.bytes": "10000000"}, {"fetch.max.bytes": "100000"}])
def test_the_client_takes_them(base: Settings) -> None:
    """It compares some of them with each other, such as those of a file for producers and consumers alike."""
    Consumer({**consumer(base, "g", GroupProtocol.CLASSIC), "bootstrap.servers": "127.0.0.1:9"}).close()


def test_the_consumer_protocol_leaves_assignment_to_the_broker() -> None:
    """KIP-848 takes neither an assignor nor a session timeout: librdkafka refuses both."""
    settings = consumer({}, "g", GroupProtocol.CONSUMER)
    assert settings["group.protocol"] == "consumer"
    assert settings.keys().isdisjoint({"partition.assignment.strategy", "session.timeout.ms"})


@pytest.mark.parametrize("protocol", GroupProtocol)
def test_the_client_accepts_our_settings(protocol: GroupProtocol) -> None:
    """Both protocols' settings are accepted by the pinned client, with a user's tuning on top."""
    base = common("localhost:1", {"consumer.fetch.min.bytes": "10"}, "consumer")
    GroupSource(consumer(base, "g", protocol), "t", lambda _: None).close()


def test_the_user_may_tune() -> None:
    """What is ours to suggest the file may change; what is owned stays, whatever reaches this far."""
    assert consumer({"statistics.interval.ms": "5000"}, "g", GroupProtocol.CLASSIC)["statistics.interval.ms"] == "5000"
    settings = transactional(producer({"compression.type": "zstd"}), "id-1", 10.0)
    assert settings["compression.type"] == "zstd"
    assert (settings["transactional.id"], settings["enable.idempotence"]) == ("id-1", True)


def test_the_transactional_producer() -> None:
    """A dead worker's transaction ends after the timeout, and the next one begins within milliseconds."""
    settings = transactional(producer({"bootstrap.servers": "b:1"}), "clf-host-0", 7.5)
    assert (settings["transaction.timeout.ms"], settings["message.timeout.ms"]) == (7500, 7500)
    assert settings["retry.backoff.ms"] == 5
    assert settings["partitioner"] == "murmur2_random"


@pytest.mark.parametrize(("limit", "size"), [(5_000_000, 1_000_000), (200_000, 200_000)])
def test_a_batch_fits_into_its_topics(limit: int, size: int) -> None:
    """A batch of the producer is never larger than what the topics take."""
    assert producer({}, limit)["batch.size"] == size


def test_wrong_settings_are_a_matter_of_starting() -> None:
    """An unknown key or value is the user's to correct: a settings error with the client's sentence, not a crash."""
    with pytest.raises(SettingsError, match=r"no\.such\.key"):
        GroupSource({"group.id": "g", "no.such.key": "1"}, "t", lambda _: None)
    with pytest.raises(SettingsError, match="acks"):
        TransactionalPublisher({"transactional.id": "t", "acks": "many"})


# --- what may be shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        # What librdkafka itself marks as sensitive, paths of files aside.
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "ssl.ca.pem",
        "ssl.key.pem",
        "ssl.key.password",
        "ssl.keystore.password",
        # And what people carry over from the Java client, which ours refuses, but after it was logged.
        "sasl.jaas.config",
        "SASL.PASSWORD",
    ],
)
def test_secrets_are_not_shown(key: str) -> None:
    """Neither the value nor a part of it is in what is logged."""
    assert redacted({key: "hunter2"}) == {key: "***"}


def test_the_rest_is_shown() -> None:
    """Everything else can be read, sorted, without callbacks."""
    settings = {"security.protocol": "SASL_SSL", "error_cb": print, "batch.size": 1000}
    assert list(redacted(settings).items()) == [("batch.size", 1000), ("security.protocol", "SASL_SSL")]

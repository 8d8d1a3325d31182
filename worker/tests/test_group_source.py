"""The source adapter, with the client played: what a rebalance in the middle of a poll does."""

from collections.abc import Collection
from typing import Any

import pytest
from confluent_kafka import Message
from confluent_kafka import TopicPartition as ClientPartition

from worker.kafka import consumer as adapter
from worker.kafka.consumer import GroupSource
from worker.stream.records import TopicPartition


class PlayedClient:
    """Delivers one message, and revokes its partition before it delivers the rest."""

    def __init__(self, settings: object) -> None:
        del settings
        self._on_revoke: Any = None
        self._calls = 0

    def subscribe(self, topics: object, **callbacks: Any) -> None:  # noqa: ANN401 - as the client's own
        """Keep the callback."""
        del topics
        self._on_revoke = callbacks["on_revoke"]

    def consume(self, count: int, timeout: float) -> list[Message]:
        """First a message of partition 0; then its revocation and a message of partition 1."""
        del count, timeout
        self._calls += 1
        if self._calls == 1:
            return [message(0)]
        self._on_revoke(self, [ClientPartition("documents", 0)])
        return [message(1)]

    def incremental_unassign(self, partitions: object) -> None:
        """Nothing to undo here."""


class Listener:
    """Notes what was revoked."""

    def __init__(self) -> None:
        self.gone: set[TopicPartition] = set()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Not used here."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Note it."""
        self.gone.update(partitions)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Not used here."""


def message(partition: int) -> Message:
    """One record of a partition."""
    return Message(topic="documents", partition=partition, offset=7, value=b"{}", timestamp=(1, 1))


def test_a_record_read_before_its_partition_was_revoked_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next owner of the partition reads it; to hand it on here as well would settle it twice."""
    monkeypatch.setattr(adapter, "Consumer", PlayedClient)
    source = GroupSource({}, "documents", lambda _: None)
    listener = Listener()
    source.subscribe(listener)
    assert [record.source.partition for record in source.poll(10, 0.0)] == [1]
    assert listener.gone == {TopicPartition("documents", 0)}

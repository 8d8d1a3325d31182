"""What librdkafka's statistics, a JSON object every second, tell of a topic's partitions."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from worker.stream.records import TopicPartition


def unread_partitions(statistics: bytes, topic: str) -> set[TopicPartition]:
    """The assigned partitions with records that the client has not fetched, from librdkafka's statistics."""
    return {
        TopicPartition(topic, int(number))
        for number, figures in _partitions(statistics, topic)
        if figures["desired"] and figures["next_offset"] < figures["ls_offset"]
    }


def lag_by_partition(
    statistics: bytes, topic: str, committed: Mapping[TopicPartition, int], *, idle: bool
) -> dict[TopicPartition, int]:
    """Records not yet settled, per assigned partition, from librdkafka's statistics.

    The end of a partition is the last stable offset, which is as far as committed reads go. `committed` are the
    offsets this worker committed itself; the client does not know those, since they went with its transactions.

    Behind the last record there may be markers of its writers' transactions, and what they aborted: nobody gets those,
    so nobody commits them. Where the client has passed them all and this worker is `idle`, there is no lag.
    """
    lags: dict[TopicPartition, int] = {}
    for number, figures in _partitions(statistics, topic):
        source = TopicPartition(topic, int(number))
        end = figures["ls_offset"]
        position = committed.get(source, max(figures["committed_offset"], figures["lo_offset"]))
        if idle and figures["app_offset"] >= end:
            position = end
        if figures["desired"] and end >= 0 and position >= 0:
            lags[source] = max(0, end - position)
    return lags


def _partitions(statistics: bytes, topic: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """The number of each partition, and what is told of it."""
    found: dict[str, dict[str, Any]] = orjson.loads(statistics).get("topics", {}).get(topic, {}).get("partitions", {})
    return found.items()

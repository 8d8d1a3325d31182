"""What the audit reads of a cluster; implements `worker.audit.ports.AuditedCluster`."""

from collections.abc import Iterator, Sequence

from worker.audit.ports import Extent
from worker.config import Topics
from worker.kafka.admin import Cluster
from worker.kafka.consumer import TopicReader
from worker.kafka.settings import Settings
from worker.stream.records import Record, TopicPartition

# By each of the three readers; small records cost the client more than their bytes.
_FETCHED_AHEAD_KB = 16_384
_FETCHED_AHEAD_RECORDS = 10_000


class ClusterAudit:
    """One reader for each topic, so that the three move forward side by side."""

    def __init__(self, cluster: Cluster, settings: Settings, topics: Topics, group: str) -> None:
        """`settings` are those common to all consumers.

        Raises:
            SettingsError: one is unknown or has a wrong value.
        """
        self._cluster = cluster
        self._topics = topics
        self._group = group
        own: Settings = {
            "queued.max.messages.kbytes": _FETCHED_AHEAD_KB,
            "queued.min.messages": _FETCHED_AHEAD_RECORDS,
            "fetch.queue.backoff.ms": 20,
            **settings,
        }
        self._readers = {name: TopicReader(own) for name in topics.names}

    def committed(self) -> dict[int, int]:
        """The group's offset of every partition of the documents topic that it has one of."""
        return self._cluster.committed_offsets(self._group, self._topics.documents)

    def extents(self, topic: str) -> dict[int, Extent]:
        """What every partition of a topic holds."""
        return self._cluster.extents(topic)

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[Sequence[Record]]:
        """The committed records of one partition from `start` on, before `end`, in batches that may be empty."""
        reader = self._readers[source.topic]
        reader.assign_at({source: start})
        return reader.batches_to({source: end} if start < end else {})

    def close(self) -> None:
        """Let go of the readers."""
        for reader in self._readers.values():
            reader.close()

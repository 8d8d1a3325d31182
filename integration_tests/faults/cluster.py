"""Three brokers on this machine that are one cluster, for what a single one cannot show: coordinators that move."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import Node, TopicCollection, TopicPartitionInfo

from integration_tests.broker import Kafka
from integration_tests.system import free_port, wait_until
from worker.kafka.local_broker import BrokerError, LocalBroker, delete_data
from worker.kafka.local_launch import Node as Member
from worker.kafka.local_launch import cluster_id

NODES = 3
_COORDINATOR_PARTITIONS = 3
OFFSETS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
# One broker may be away, and no record that was acknowledged is lost with it.
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.num.partitions": str(_COORDINATOR_PARTITIONS),
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.num.partitions": str(_COORDINATOR_PARTITIONS),
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}
# Leaders go back to where they were soon after a restart, not after five minutes.
_MOVING = {"leader.imbalance.check.interval.seconds": "3", "leader.imbalance.per.broker.percentage": "0"}
_HEAP_MIB = 192
_SETTLED_SECONDS = 60


class LocalCluster:
    """Starts three brokers, each in a directory of its own. Nodes count from 1."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        controllers = [free_port() for _ in range(NODES)]
        cluster = cluster_id()
        self.brokers = [
            LocalBroker(heap_mib=_HEAP_MIB, node=Member(number, controllers, cluster, {**_REPLICATED, **_MOVING}))
            for number in range(1, NODES + 1)
        ]
        self._ports = [0] * NODES
        # A broker ends with the thread that started it, so that none is left over: these stay until the end.
        self._starters = ThreadPoolExecutor(NODES, "broker")

    def start(self) -> Kafka:
        """Start all at once: none is ready before most are."""
        list(self._starters.map(self._start_node, range(1, NODES + 1)))
        return Kafka(",".join(f"127.0.0.1:{port}" for port in self._ports), replication=NODES)

    def _start_node(self, node: int) -> None:
        broker, place = self.brokers[node - 1], self._directory / f"broker-{node}"
        try:
            running = broker.start(place, follow_parent=True)
        except BrokerError:  # a busy machine: the others took too long to be there and elect somebody
            running = broker.start(place, follow_parent=True)
        self._ports[node - 1] = running.port

    def close(self) -> None:
        """End all, and remove what they wrote."""
        for node, broker in enumerate(self.brokers, start=1):
            broker.kill()
            delete_data(self._directory / f"broker-{node}")
        self._starters.shutdown()


def await_whole(kafka: Kafka, *topics: str) -> None:
    """Wait until every replica of these topics is in sync, so that one broker can be spared."""

    def whole() -> bool:
        return all(len(partition.isr) == len(partition.replicas) for partition in _partitions(kafka, *topics))

    wait_until(whole, "all replicas are in sync", _SETTLED_SECONDS)


def await_preferred_leaders(kafka: Kafka, *topics: str) -> None:
    """Wait until every partition of these topics is led by the first of its replicas again."""

    def preferred() -> bool:
        found = _partitions(kafka, *topics)
        return all(_id(partition.leader) == partition.replicas[0].id for partition in found)

    wait_until(preferred, "leaders are moved back", _SETTLED_SECONDS)


def _partitions(kafka: Kafka, *topics: str) -> list[TopicPartitionInfo]:
    found = kafka.admin().describe_topics(TopicCollection(list(topics)), request_timeout=10)
    return [partition for topic in topics for partition in found[topic].result().partitions]


def leader(kafka: Kafka, topic: str, partition: int) -> int:
    """The node that leads a partition."""
    return _id(_partitions(kafka, topic)[partition].leader)


def group_coordinator(kafka: Kafka, group: str) -> int:
    """The node that keeps the group and its offsets: the leader of the partition that Kafka's hash of it names.

    A client that has asked for it once goes on asking that node for ten minutes, wherever the group is by then.
    """
    return leader(kafka, OFFSETS, abs(_java_hash(group)) % _COORDINATOR_PARTITIONS)


def transaction_coordinator(kafka: Kafka, transactional_id: str) -> int:
    """The node that keeps the transactions of that id, found in the same way."""
    return leader(kafka, TRANSACTIONS, abs(_java_hash(transactional_id)) % _COORDINATOR_PARTITIONS)


def _id(node: Node | None) -> int:
    """Of a node; -1 where there is none at the moment."""
    return -1 if node is None else node.id


def _java_hash(text: str) -> int:
    """`String.hashCode` of a text in ASCII."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) % 2**32
    return value - 2**32 if value >= 2**31 else value

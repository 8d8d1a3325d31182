"""Topics: what is there, what must be there, and how to make it so."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from worker.audit.ports import Extent
from worker.clock import SystemClock
from worker.config import Topics
from worker.kafka.client_log import LOGGING, log_client_error
from worker.kafka.errors import NOTHING, Needs, advice, on_group, on_topic, translate
from worker.kafka.settings import Settings
from worker.stream.deadline import Deadline
from worker.stream.errors import RetriableError

MAX_BYTES = "max.message.bytes"
CLEANUP = "cleanup.policy"

# A dead letter is its document plus our headers; a result repeats the input's headers. Room for both.
HEADROOM_BYTES = 65_536

_AGAIN_SECONDS = 0.05
_VISIBLE = "DESCRIBE on topic {}, which READ and WRITE include"

# How long a broker that refuses this client may take to say so.
_REFUSAL_SECONDS = 2.0

# The client annotates the class, not these methods.
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # see above
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # see above


class ClusterError(Exception):
    """The cluster cannot be reached, or refuses. The text says what to do."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """What matters of a topic."""

    partitions: int
    max_message_bytes: int
    cleanup_policy: str


class Cluster:
    """The administrative view of a cluster."""

    def __init__(self, settings: Settings, timeout_seconds: float = 10.0) -> None:
        """`settings` are those common to all clients; every call takes `timeout_seconds` at most."""
        self._servers = settings["bootstrap.servers"]
        self._settings = settings
        self._members: dict[str, Consumer] = {}
        self._protocol = settings.get("security.protocol", "plaintext")
        self._timeout = timeout_seconds
        self._clock = SystemClock()
        self._last_error: KafkaError | None = None
        try:
            configuration: dict[str, Any] = {**settings, **LOGGING, "error_cb": self._on_error}
            self._client = AdminClient(configuration)
        except KafkaException as error:
            raise ClusterError(f"The Kafka settings are not accepted: {error.args[0]}") from error

    def _on_error(self, error: KafkaError) -> None:
        # Refused credentials say why no broker answers; that one cannot be reached says less, that none can, nothing.
        if self._last_error is None or _says(error) >= _says(self._last_error):
            self._last_error = error
        log_client_error(error)

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        """Those of `names` that exist.

        Raises:
            ClusterError: no broker answers, or it refuses.
        """
        found = self.partitions(names)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
        if not resources:
            return {}
        infos: dict[str, TopicInfo] = {}
        for resource, future in self._client.describe_configs(resources, request_timeout=self._timeout).items():
            try:
                entries = future.result()
            except KafkaException as error:
                needs = Needs(on_topic("DESCRIBE_CONFIGS", resource.name))
                raise self._refused(f"reading the configuration of topic {resource.name}", error, needs) from error
            infos[resource.name] = TopicInfo(
                found[resource.name], int(entries[MAX_BYTES].value), entries[CLEANUP].value
            )
        return infos

    def partitions(self, names: Collection[str]) -> dict[str, int]:
        """How many partitions those of `names` have that exist; asks for less rights than `topics`.

        Raises:
            ClusterError: no broker answers, or a topic may not be seen.
        """
        metadata = self._metadata()
        found = {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if name in names and topic.error is None
        }
        self._refuse_hidden(name for name in names if name not in found)
        return found

    def _metadata(self) -> ClusterMetadata:
        """Does not wait the whole time for brokers that have said why they refuse this client."""
        try:
            return self._client.list_topics(timeout=min(_REFUSAL_SECONDS, self._timeout))
        except KafkaException as error:
            if advice(self._reason(error), NOTHING) or self._timeout <= _REFUSAL_SECONDS:
                raise self._unreachable(error) from error
        try:
            return self._client.list_topics(timeout=self._timeout - _REFUSAL_SECONDS)
        except KafkaException as error:
            raise self._unreachable(error) from error

    def _refuse_hidden(self, names: Iterable[str]) -> None:
        """A list of all topics leaves out what its reader may not see. Asked for by name, a broker says so."""
        missing = list(names)
        if not missing:
            return
        for name, future in self._client.describe_topics(
            TopicCollection(missing), request_timeout=self._timeout
        ).items():
            error = future.exception()
            if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise self._refused(f"looking for topic {name}", error, Needs([_VISIBLE.format(name)])) from error

    def create(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Create one topic. One that exists already is left as it is."""
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config))
        try:
            self._client.create_topics([topic], request_timeout=self._timeout)[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._refused(f"creating topic {name}", error, Needs(on_topic("CREATE", name))) from error
        self._await_metadata(name)

    def add_partitions(self, name: str, partitions: int) -> None:
        """Let a topic have `partitions`; it must have fewer."""
        request = [NewPartitions(name, partitions)]
        try:
            self._client.create_partitions(request, request_timeout=self._timeout)[name].result()
        except KafkaException as error:
            needs = Needs(on_topic("ALTER", name))
            raise self._refused(f"adding partitions to topic {name}", error, needs) from error
        self._await_metadata(name, partitions)

    def _await_metadata(self, name: str, partitions: int = 1) -> None:
        """Brokers learn of a new topic or partition a moment after the controller accepted it."""
        deadline = Deadline(self._clock, self._timeout)
        while self.partitions([name]).get(name, 0) < partitions:
            if deadline.expired:
                raise ClusterError(f"Topic {name} was changed, but no broker knows of it after {self._timeout:g} s.")
            self._clock.sleep(_AGAIN_SECONDS)

    def set_config(self, name: str, key: str, value: str) -> None:
        """Change one setting of one topic."""
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        try:
            self._client.incremental_alter_configs([resource], request_timeout=self._timeout)[resource].result()
        except KafkaException as error:
            needs = Needs(on_topic("ALTER_CONFIGS", name))
            raise self._refused(f"changing {key} of topic {name}", error, needs) from error

    def committed(self, group: str, topic: str) -> int:
        """How many records of `topic` the group has committed, from offset 0; offsets in open transactions wait."""
        return sum(self.committed_offsets(group, topic).values())

    def committed_offsets(self, group: str, topic: str) -> dict[int, int]:
        """The group's offset of each partition that it has one of; offsets in open transactions wait.

        A consumer asks, which joins nothing by that. The admin client, when it asks a broker that has just ceased to be
        the group's coordinator, ends the whole process with a segmentation fault (librdkafka issue 5040).
        """
        places = [ClientPartition(topic, number) for number in range(self.partitions([topic]).get(topic, 0))]
        deadline = Deadline(self._clock, self._timeout)
        while True:
            try:
                found = self._member_of(group).committed(places, deadline.remaining())
            except KafkaException as error:
                doing, needs = f"reading the offsets of group {group}", Needs(group=on_group("DESCRIBE", group))
                if deadline.expired or not isinstance(translate(error.args[0], doing), RetriableError):
                    raise self._refused(doing, error, needs) from error
                self._clock.sleep(_AGAIN_SECONDS)
            else:
                return {place.partition: place.offset for place in found if place.offset >= 0}

    def _member_of(self, group: str) -> Consumer:
        if group not in self._members:
            configuration = {**self._settings, **LOGGING, "error_cb": self._on_error, "group.id": group}
            self._members[group] = Consumer({**configuration, "isolation.level": "read_committed"})
        return self._members[group]

    def extents(self, topic: str) -> dict[int, Extent]:
        """What every partition of a topic holds at this moment; empty when there is no such topic.

        Raises:
            ClusterError: no broker answers, or it refuses.
        """
        partitions = range(self.partitions([topic]).get(topic, 0))
        firsts = self._offsets(topic, partitions, _EARLIEST, IsolationLevel.READ_UNCOMMITTED)
        stables = self._offsets(topic, partitions, _LATEST, IsolationLevel.READ_COMMITTED)
        # Asked last, so that an end never lies before what is stable.
        ends = self._offsets(topic, partitions, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        return {n: Extent(firsts[n], stables[n], ends[n]) for n in partitions}

    def _offsets(
        self, topic: str, partitions: Iterable[int], which: OffsetSpec, isolation: IsolationLevel
    ) -> dict[int, int]:
        request = {ClientPartition(topic, number): which for number in partitions}
        if not request:
            return {}
        futures = self._client.list_offsets(request, isolation_level=isolation, request_timeout=self._timeout)
        try:
            return {place.partition: future.result().offset for place, future in futures.items()}
        except KafkaException as error:
            needs = Needs(on_topic("DESCRIBE", topic))
            raise self._refused(f"reading the offsets of topic {topic}", error, needs) from error

    def delete(self, names: Collection[str]) -> None:
        """Delete topics and all that is in them."""
        for name, future in self._client.delete_topics(list(names), request_timeout=self._timeout).items():
            try:
                future.result()
            except KafkaException as error:
                raise self._refused(f"deleting topic {name}", error, Needs(on_topic("DELETE", name))) from error

    def _reason(self, error: KafkaException) -> KafkaError:
        """What the client knows better than "transport failure"."""
        self._client.poll(0)
        reason: KafkaError = self._last_error or error.args[0]
        return reason

    def _unreachable(self, error: KafkaException) -> ClusterError:
        told = self._reason(error)
        if help_ := advice(told, NOTHING):
            return ClusterError(f"{self._servers} refuses this client: {told.str()}. {help_}")
        if told.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - public, named after librdkafka's
            # A port that nobody listens on would have been reported as that.
            return ClusterError(
                f"{self._servers} takes connections and closes them: security.protocol in --kafka-config, "
                f"{self._protocol}, is not what that port speaks, or no Kafka broker is there."
            )
        return ClusterError(
            f"No Kafka broker answers at {self._servers}: {told.str()}. Start one with `clf kafka start`, or name "
            "yours with --bootstrap-servers (CLF_BOOTSTRAP_SERVERS) and its security settings with --kafka-config."
        )

    def _refused(self, doing: str, error: KafkaException, needs: Needs) -> ClusterError:
        sentence = f"The broker refused while {doing}: {error.args[0].str()}."
        return ClusterError(f"{sentence} {advice(error.args[0], needs)}".rstrip())


def _says(error: KafkaError) -> int:
    """How much an error says of why no broker answers."""
    if advice(error, NOTHING):
        return 2
    return int(error.code() != KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001 - public, named after librdkafka's


def problems(topics: Topics, found: Mapping[str, TopicInfo]) -> list[str]:
    """What is wrong with the three topics, a sentence each; empty when a worker may start."""
    wrong = [f"Topic {name} does not exist." for name in topics.names if name not in found]
    if wrong:
        return wrong
    source, results, dead = (found[name] for name in topics.names)
    if results.partitions != source.partitions:
        wrong.append(
            f"Topic {topics.classifications} has {results.partitions} partitions and {topics.documents} has "
            f"{source.partitions}: results go to the partition of their document, so the counts must be equal. "
            f"`clf topics add-partitions --partitions {max(source.partitions, results.partitions)}` makes them so."
        )
    needed = source.max_message_bytes + HEADROOM_BYTES
    wrong += [
        f"Topic {name} takes records of {found[name].max_message_bytes} bytes at most. It needs {MAX_BYTES}={needed}, "
        f"so that the largest document of {topics.documents} fits with its headers."
        for name in (topics.classifications, topics.dead_letters)
        if found[name].max_message_bytes < needed
    ]
    if "compact" in dead.cleanup_policy:
        wrong.append(
            f"Topic {topics.dead_letters} is compacted: it would drop dead letters that share a key, and refuse "
            f"those without one. Set {CLEANUP}=delete."
        )
    return wrong

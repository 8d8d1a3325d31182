"""librdkafka's own mock cluster, in this process, with errors on demand.

confluent-kafka offers no way to inject errors, so this calls the very librdkafka that it loaded. The cluster checks
neither transactions nor rights; it only answers what it is told to, which is all a test of error handling needs.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka

_PRODUCER = 0  # rd_kafka_type_t
_MAPS = Path("/proc/self/maps")


class Api(IntEnum):
    """Requests of Kafka's protocol, by their number in it."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS = 24
    ADD_OFFSETS = 25
    END_TRANSACTION = 26
    TXN_OFFSET_COMMIT = 28


class MockCluster:
    """Brokers on free ports of this machine."""

    def __init__(self, brokers: int = 1) -> None:
        self._library = _library()
        text = ctypes.create_string_buffer(512)
        configuration = self._library.rd_kafka_conf_new()
        # The handle is for the cluster's own books; it connects to nothing.
        self._handle = self._library.rd_kafka_new(_PRODUCER, configuration, text, len(text))
        assert self._handle, text.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._library.rd_kafka_mock_set_controller_id(self._cluster, 1)
        self.bootstrap_servers = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """A topic without records."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def fail(self, api: Api, *errors: str) -> None:
        """Answer the next requests of that kind with these errors, one each. `_TRANSPORT` hangs up."""
        numbers = (ctypes.c_int * len(errors))(*(codes()[error] for error in errors))
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), numbers)

    def delay(self, api: Api, seconds: float) -> None:
        """Take that long over the answer to the next request of that kind."""
        self._library.rd_kafka_mock_broker_push_request_error_rtts(
            ctypes.c_void_p(self._cluster),
            ctypes.c_int32(1),
            ctypes.c_int16(api),
            ctypes.c_size_t(1),
            ctypes.c_int(0),
            ctypes.c_int(round(seconds * 1000)),
        )

    def forbid(self, topic: str, error: str) -> None:
        """Answer all that concerns a topic with that error."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), codes()[error])

    def relent(self) -> None:
        """Forget the errors that were not given yet."""
        for api in Api:
            self._library.rd_kafka_mock_clear_request_errors(self._cluster, api)

    @contextmanager
    def down(self) -> Iterator[None]:
        """No broker answers for the time of the block."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)
        try:
            yield
        finally:
            self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    def close(self) -> None:
        """End it."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


@cache
def codes() -> dict[str, int]:
    """The number of every error, by the name the client gives it."""
    return {confluent_kafka.KafkaError(code).name(): code for code in range(-200, 200)}


def _library() -> Any:  # noqa: ANN401 - ctypes has no type for the functions of a library
    paths = {line.split()[-1] for line in _MAPS.read_text("utf-8").split("\n") if "librdkafka" in line}
    library = ctypes.CDLL(paths.pop())
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    text, handle = ctypes.c_char_p, ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, handle, text, ctypes.c_size_t]
    library.rd_kafka_destroy.argtypes = [handle]
    library.rd_kafka_mock_cluster_new.argtypes = [handle, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [handle]
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [handle]
    library.rd_kafka_mock_topic_create.argtypes = [handle, text, ctypes.c_int, ctypes.c_int]
    library.rd_kafka_mock_set_controller_id.argtypes = [handle, ctypes.c_int32]
    library.rd_kafka_mock_topic_set_error.argtypes = [handle, text, ctypes.c_int]
    library.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [handle, ctypes.c_int32]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [handle, ctypes.c_int16, ctypes.c_size_t, handle]
    library.rd_kafka_mock_clear_request_errors.argtypes = [handle, ctypes.c_int16]
    library.rd_kafka_mock_broker_set_down.argtypes = [handle, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_up.argtypes = [handle, ctypes.c_int32]
    return library

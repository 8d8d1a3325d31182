"""Workers as they should not be, for the audit to catch. Each processes a topic until it has had enough, and dies.

`python -m integration_tests.bad_workers KIND SERVERS DOCUMENTS RESULTS GROUP RECORDS`, with KIND `auto-commit` or
`random-transactional-id`.
"""

import os
import signal
import sys
import uuid
from collections.abc import Callable

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.document import decode_document
from schemas.source import Source
from worker.classify import ConstantClassifier
from worker.clock import SystemClock

_SECONDS = 30.0
_BATCH = 100
_COMMIT_SECONDS = 0.3  # above the client's interval


def auto_commit(servers: str, documents: str, results: str, group: str, records: int) -> None:
    """Lets the client commit what was delivered, not what was published: what is in hand when it dies is lost."""
    consumer = _consumer(servers, documents, group, **{"enable.auto.commit": True, "auto.commit.interval.ms": 100})
    producer = Producer({"bootstrap.servers": servers})
    seen = 0
    while seen < records:
        messages = consumer.consume(_BATCH, 1.0)
        for message in messages[: _BATCH // 2]:
            producer.produce(results, result_of(message), message.key(), message.partition() or 0)
        seen += len(messages)
        producer.flush(_SECONDS)
        SystemClock().sleep(_COMMIT_SECONDS)
    _die()


def random_transactional_id(servers: str, documents: str, results: str, group: str, records: int) -> None:
    """Takes a new transactional.id at each start: nobody fences what it leaves open, for a minute and more."""
    consumer = _consumer(servers, documents, group)
    settings = {"transactional.id": uuid.uuid4().hex, "transaction.timeout.ms": 60_000}
    producer = Producer({"bootstrap.servers": servers, **settings})
    producer.init_transactions(_SECONDS)
    seen = 0
    while seen < records:
        messages = consumer.consume(_BATCH, 1.0)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce(results, result_of(message), message.key(), message.partition() or 0)
        seen += len(messages)
        if seen >= records:
            producer.flush(_SECONDS)
            _die()
        ends = {m.partition() or 0: (m.offset() or 0) + 1 for m in messages}
        offsets = [TopicPartition(documents, partition, end) for partition, end in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), _SECONDS)
        producer.commit_transaction(_SECONDS)


KINDS: dict[str, Callable[[str, str, str, str, int], None]] = {
    "auto-commit": auto_commit,
    "random-transactional-id": random_transactional_id,
}


def result_of(message: Message) -> bytes:
    """The result of one document, as `clf worker --no-scoring` gives it."""
    document = decode_document(message.value() or b"")
    source = Source(message.topic() or "", message.partition() or 0, message.offset() or 0)
    return ConstantClassifier().classify([document], [source])[0].to_json()


def _consumer(servers: str, documents: str, group: str, **settings: bool | int | str) -> Consumer:
    own = {
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer({**own, "session.timeout.ms": 6000, **settings})
    consumer.subscribe([documents])
    return consumer


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    kind, servers, documents, results, group, records = sys.argv[1:]
    KINDS[kind](servers, documents, results, group, int(records))

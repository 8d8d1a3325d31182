"""The loops that the worker is measured against, written as one would by hand on a first day.

Each is a program: `python -m worker.bench.plain_loops KIND BOOTSTRAP INPUT OUTPUT GROUP [PIPELINE]`. It prints one JSON
line when its partitions are assigned, and runs until it is ended. They use the Kafka client directly, because that is
what a loop written by hand does.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from worker.clock import SystemClock

_BARE_BATCH = 2000
_SCORED_BATCH = 500
_COMMIT_EVERY = 500

Score = Callable[[list[str]], Any]


def announce_assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """Tell the harness that work begins now."""
    del consumer, partitions
    sys.stdout.buffer.write(orjson.dumps({"assigned": SystemClock().time()}) + b"\n")
    sys.stdout.buffer.flush()


def make_consumer(servers: str, topic: str, group: str) -> Consumer:
    """A consumer that commits by hand."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic], on_assign=announce_assigned)
    return consumer


def next_offsets(messages: list[Message]) -> list[TopicPartition]:
    """Per partition, the offset after the last of `messages`."""
    last: dict[int, Message] = {partition_of(message): message for message in messages}
    return [TopicPartition(str(m.topic()), number, (m.offset() or 0) + 1) for number, m in last.items()]


def partition_of(message: Message) -> int:
    """The partition a message came from, for its result."""
    return message.partition() or 0


def text_of(value: bytes | None) -> tuple[str, str]:
    """The url and the text of a document."""
    document = orjson.loads(value or b"{}")
    return document["url"], document["title"] + "\n" + document["text"]


def result(url: str, scores: Any) -> bytes:  # noqa: ANN401 - a row of whatever scikit-learn returns
    """A result as small as it can be."""
    return orjson.dumps({"url": url, "scores": [float(score) for score in scores]})


def one_by_one(servers: str, source: str, target: str, group: str, score: Score) -> None:
    """Poll a message, score it, produce; flush and commit now and then. At least once."""
    consumer = make_consumer(servers, source, group)
    producer = Producer({"bootstrap.servers": servers})
    since: list[Message] = []
    while True:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            url, text = text_of(message.value())
            producer.produce(target, result(url, score([text])[0]), url.encode(), partition_of(message))
            producer.poll(0)
            since.append(message)
        if since and (message is None or len(since) >= _COMMIT_EVERY):
            producer.flush()
            consumer.commit(offsets=next_offsets(since), asynchronous=False)
            since = []


def batched(servers: str, source: str, target: str, group: str, score: Score) -> None:
    """Consume a batch, score it in one call, produce, flush, commit. At least once."""
    consumer = make_consumer(servers, source, group)
    producer = Producer({"bootstrap.servers": servers})
    while True:
        messages = [m for m in consumer.consume(_SCORED_BATCH, 0.1) if m.error() is None]
        if not messages:
            continue
        documents = [text_of(message.value()) for message in messages]
        for message, (url, _), scores in zip(messages, documents, score([text for _, text in documents]), strict=True):
            producer.produce(target, result(url, scores), url.encode(), partition_of(message))
        producer.flush()
        consumer.commit(offsets=next_offsets(messages), asynchronous=False)


def bare(servers: str, source: str, target: str, group: str) -> None:
    """Consume, parse, produce a constant, in transactions of 2,000: what a loop without any work can do."""
    consumer = make_consumer(servers, source, group)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": group,
            "transaction.timeout.ms": 10_000,
            "retry.backoff.ms": 5,
        }
    )
    producer.init_transactions()
    while True:
        messages = [m for m in consumer.consume(_BARE_BATCH, 0.1) if m.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            url = orjson.loads(message.value() or b"{}")["url"]
            producer.produce(
                target, orjson.dumps({"url": url, "labels": ["none"]}), url.encode(), partition_of(message)
            )
        producer.send_offsets_to_transaction(next_offsets(messages), consumer.consumer_group_metadata())
        producer.commit_transaction()


def main(kind: str, servers: str, source: str, target: str, group: str, pipeline: str = "") -> None:
    """Run one loop until the process is ended."""
    if kind == "bare":
        bare(servers, source, target, group)
        return
    score: Score = fitted_pipeline(Path(pipeline)).decision_function
    {"one-by-one": one_by_one, "batched": batched}[kind](servers, source, target, group, score)


def fitted_pipeline(path: Path) -> Any:  # noqa: ANN401 - scikit-learn ships no types
    """The pipeline as training fitted it, unmodified. `clf train` wrote it, started by the benchmark itself."""
    return joblib.load(path)


if __name__ == "__main__":
    main(*sys.argv[1:])

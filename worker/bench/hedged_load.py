"""The hedging client under an open loop, in a process of its own: what a crawler with many threads does.

Run as `python -m worker.bench.hedged_load JOB.json MESSAGES RESULT.npz METRICS.json`; `worker.bench.load` does. Latency
counts from the time a call was due, so waiting for a thread counts too.
"""

import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import orjson
from prometheus_client import CollectorRegistry

from schemas.document import Document, decode_document
from schemas.headers import PROTOBUF
from worker.bench.open_loop import NOT_ANSWERED, Job, poisson, read_job, read_messages
from worker.client import ClassifierClient, ClassifierError
from worker.clock import Clock, SystemClock

_THREADS = 64
_SOON = 0.05


class HedgedLoad:
    """One run of one job."""

    def __init__(self, job: Job, documents: Sequence[Document], client: ClassifierClient, clock: Clock) -> None:
        self._job = job
        self._documents = documents
        self._client = client
        self._clock = clock
        self._due = list(poisson(job.rate, job.warmup_seconds + job.seconds, random.Random(job.seed)))  # noqa: S311 - no secret
        self._times = np.full((2, len(self._due)), np.nan)
        self._status = np.full(len(self._due), NOT_ANSWERED, dtype=np.int16)
        self._start = self._began = 0.0

    def run(self) -> None:
        """Make all calls, each on a thread of a pool."""
        self._start, self._began = self._clock.monotonic() + _SOON, self._clock.time() + _SOON
        with ThreadPoolExecutor(_THREADS) as pool:
            for number, due in enumerate(self._due):
                self._clock.sleep(max(0.0, due - self._now()))
                pool.submit(self._call, number)

    def save(self, path: Path) -> None:
        """The calls after the warm-up, as `open_loop` saves them, and when in the world's time the run began."""
        due = np.array(self._due)
        kept = due >= self._job.warmup_seconds
        sent, done = self._times[:, kept]
        record = {"due": due[kept], "sent": sent, "done": done, "status": self._status[kept]}
        np.savez(path, allow_pickle=False, began=np.array(self._began), **record)

    def _call(self, number: int) -> None:
        self._times[0, number] = self._now()
        try:
            self._client.classify(self._documents[number % len(self._documents)])
        except ClassifierError as error:
            self._status[number] = error.code.value[0]
        else:
            self._status[number] = 0
        self._times[1, number] = self._now()

    def _now(self) -> float:
        return self._clock.monotonic() - self._start


def main(job_file: str, messages_file: str, result_file: str, metrics_file: str) -> None:
    """Run the job and leave its record and the client's metrics."""
    job = read_job(Path(job_file))
    documents = [decode_document(message, PROTOBUF) for message in read_messages(Path(messages_file))]
    registry = CollectorRegistry()
    with ClassifierClient(job.targets, timeout=job.timeout_ms / 1000, registry=registry) as client:
        load = HedgedLoad(job, documents, client, SystemClock())
        load.run()
    load.save(Path(result_file))
    samples = {
        sample.name + ",".join(f" {name}={value}" for name, value in sample.labels.items()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }
    Path(metrics_file).write_bytes(orjson.dumps(samples))


if __name__ == "__main__":
    main(*sys.argv[1:])

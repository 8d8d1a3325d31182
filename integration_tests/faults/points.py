"""A worker that kills itself at a named point: `python -m integration_tests.faults.points POINT NTH worker ...`.

It dies with SIGKILL at the NTH call of the client's function that belongs to POINT, before or after it.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer

from worker.cli import main
from worker.kafka import producer as adapter

POINTS = {
    f"{when}-{what}": (what, when)
    for what in ("init", "begin", "produce", "send-offsets", "commit")
    for when in ("before", "after")
}
_FUNCTIONS = {
    "init": "init_transactions",
    "begin": "begin_transaction",
    "produce": "produce",
    "send-offsets": "send_offsets_to_transaction",
    "commit": "commit_transaction",
}


def deadly(point: str, nth: int) -> type[Producer]:
    """A producer that does not survive its `nth` call at that point."""
    what, when = POINTS[point]
    calls = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the client's function takes and gives
            nonlocal calls
            calls += 1
            if calls == nth and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **named)
            if calls == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    name = _FUNCTIONS[what]
    return type("DeadlyProducer", (Producer,), {name: counted(getattr(Producer, name))})


if __name__ == "__main__":
    vars(adapter)["Producer"] = deadly(sys.argv[1], int(sys.argv[2]))
    main(sys.argv[3:], prog_name="clf")

"""A worker whose scorer is slow, so that it holds its partitions back.

It is started with `python -m integration_tests.faults.slow worker ...`, and logs `held_back` each time it pauses them.
"""

import sys
from collections.abc import Callable
from typing import Any

import structlog

from worker import app
from worker.cli import main
from worker.clock import SystemClock
from worker.kafka.consumer import GroupSource
from worker.stream import processor

log = structlog.get_logger(__name__)

_BATCH_SECONDS = 1.5  # more than the loop waits before it pauses


class TellingSource(GroupSource):
    """Says when it is paused."""

    def pause(self) -> None:
        """Deliver nothing more, and say so."""
        super().pause()
        log.info("held_back")


def slowly(classify: Callable[..., Any]) -> Callable[..., Any]:
    """The same, a while later."""

    def call(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
        SystemClock().sleep(_BATCH_SECONDS)
        return classify(*arguments)

    return call


if __name__ == "__main__":
    vars(app)["GroupSource"] = TellingSource
    vars(processor)["_classify"] = slowly(vars(processor)["_classify"])
    main(sys.argv[1:], prog_name="clf")

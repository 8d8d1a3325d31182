"""`clf serve` as a process in a directory of its own."""

import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from integration_tests.system import CLF, ClfProcess, wait_until

DEFAULTS = ("--grpc-port", "0", "--http-port", "0", "--lame-duck", "0.5", "--log-format", "json")


class ServeProcess(ClfProcess):
    """One `clf serve`, from its start until the end of the `with` block, where it is killed when it still runs."""

    def __init__(self, directory: Path, options: Sequence[str]) -> None:
        """Start it; the block begins when it may take traffic. What `options` say counts more than `DEFAULTS`."""
        super().__init__(directory, [*CLF, "serve", *DEFAULTS, *options])

    def __enter__(self) -> Self:
        try:
            wait_until(self.ready, "the server is ready")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def grpc(self) -> str:
        """The "host:port" for calls."""
        return self.services["clf-grpc"]

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

"""What the host keeps from this process, as Linux counts it: CPU time, and progress that waits for IO or memory.

All of it is read as counters and compared over a time of our own choice: the averages that the kernel offers look back
over other times.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from worker.clock import Clock
from worker.linux import field, lines, with_parents

_TIMES = 8  # user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two
_STEAL = 7


class HostReason(StrEnum):
    """Why a host may be slow."""

    CPU_STEAL = "cpu_steal"
    """The hypervisor gave the CPU to somebody else."""
    CPU_THROTTLED = "cpu_throttled"
    """The cgroup, or one above it, used up its CPU quota."""
    IO_PRESSURE = "io_pressure"
    """Processes waited for disks."""
    MEMORY_PRESSURE = "memory_pressure"
    """Processes waited for memory to be freed, or read back."""


class Count(NamedTuple):
    """So much of so much, since some time in the past."""

    part: float
    whole: float


Reading = Mapping[tuple[HostReason, str], Count]
"""By reason, and by which file says so."""


class Host:
    """The files of Linux. Where one is missing, that reason is never found."""

    def __init__(self, clock: Clock, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        """Where the two file systems are mounted."""
        self._clock = clock
        self._proc = proc
        self._cgroups = cgroups

    def read(self) -> Reading:
        """The present counts."""
        return {(reason, source): count for reason, source, count in self._counts()}

    def _counts(self) -> Iterator[tuple[HostReason, str, Count]]:
        yield from self._steal()
        own = list(self._own_cgroups())
        for directory in own:
            yield from _throttled(directory)
        for reason, name in ((HostReason.IO_PRESSURE, "io"), (HostReason.MEMORY_PRESSURE, "memory")):
            yield from self._pressure(reason, name, own)

    def _steal(self) -> Iterator[tuple[HostReason, str, Count]]:
        times = next((line.split()[1 : 1 + _TIMES] for line in lines(self._proc / "stat") if line[:4] == "cpu "), [])
        if len(times) == _TIMES:
            yield HostReason.CPU_STEAL, "stat", Count(int(times[_STEAL]), sum(map(int, times)))

    def _own_cgroups(self) -> Iterator[Path]:
        """From the root to our own, of version 2 and of version 1's `cpu`; both may be mounted."""
        for line in lines(self._proc / "self" / "cgroup"):
            _, controllers, path = line.split(":", 2)
            if not controllers:
                unified = self._cgroups / "unified"
                yield from with_parents(unified if unified.is_dir() else self._cgroups, path)
            elif "cpu" in controllers.split(","):
                together = self._cgroups / controllers
                yield from with_parents(together if together.is_dir() else self._cgroups / "cpu", path)

    def _pressure(self, reason: HostReason, name: str, own: list[Path]) -> Iterator[tuple[HostReason, str, Count]]:
        """Of our own cgroup if it tells, else of the machine. Only version 2 tells."""
        for path in [*(directory / f"{name}.pressure" for directory in reversed(own)), self._proc / "pressure" / name]:
            waited = next((line.rpartition("total=")[2] for line in lines(path) if line.startswith("some ")), "")
            if waited.isdecimal():
                yield reason, str(path), Count(int(waited) / 1e6, self._clock.monotonic())
                return


def _throttled(cgroup: Path) -> Iterator[tuple[HostReason, str, Count]]:
    periods, throttled = (field(cgroup / "cpu.stat", name) for name in ("nr_periods", "nr_throttled"))
    if periods is not None and throttled is not None:
        yield HostReason.CPU_THROTTLED, str(cgroup), Count(throttled, periods)


def shares(before: Reading, now: Reading) -> dict[HostReason, float]:
    """How much of the time between two readings each reason took, 0 to 1; 0 where nobody tells."""
    found = dict.fromkeys(HostReason, 0.0)
    for (reason, source), count in now.items():
        earlier = before.get((reason, source))
        if earlier is not None and count.whole > earlier.whole:
            share = (count.part - earlier.part) / (count.whole - earlier.whole)
            found[reason] = max(found[reason], min(1.0, share))
    return found

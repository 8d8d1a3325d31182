"""How much memory this process may still take, as Linux tells it."""

from pathlib import Path

from worker.linux import field, lines, with_parents

_KIB = 1024


class Memory:
    """The memory that is left to the machine and to the cgroups (version 2) that this process is in."""

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        """Where the two file systems are mounted."""
        self._proc = proc
        self._cgroups = cgroups

    def available(self) -> int | None:
        """Bytes that can be taken without swapping or being killed; None where nobody tells."""
        known = [bytes_ for bytes_ in (self._of_machine(), *self._of_cgroups()) if bytes_ is not None]
        return min(known, default=None)

    def _of_machine(self) -> int | None:
        kib = field(self._proc / "meminfo", "MemAvailable:")
        return None if kib is None else kib * _KIB

    def _of_cgroups(self) -> list[int | None]:
        """Of each cgroup from the root to our own."""
        own = next((line[3:] for line in lines(self._proc / "self" / "cgroup") if line.startswith("0::")), "/")
        return [_headroom(cgroup) for cgroup in with_parents(self._cgroups, own)]


def _headroom(cgroup: Path) -> int | None:
    """Its limit less what it uses. Cached pages of files that nobody has read lately give way, so they do not count."""
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is None or used is None:
        return None
    cached = field(cgroup / "memory.stat", "inactive_file") or 0
    return max(0, limit - max(0, used - cached))


def _number(path: Path) -> int | None:
    """The number in a file; None when there is no file, or it says "max"."""
    first = next(iter(lines(path)), "")
    return int(first) if first.isdecimal() else None

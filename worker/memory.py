"""How much memory this process may still take, as Linux tells it."""

from pathlib import Path, PurePosixPath

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
        kib = _field(self._proc / "meminfo", "MemAvailable:")
        return None if kib is None else kib * _KIB

    def _of_cgroups(self) -> list[int | None]:
        """Of each cgroup from the root to our own: a limit holds for all below it."""
        own = next((line[3:] for line in _lines(self._proc / "self" / "cgroup") if line.startswith("0::")), "/")
        parts = PurePosixPath(own).parts[1:]
        return [_headroom(self._cgroups.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]


def _headroom(cgroup: Path) -> int | None:
    """Its limit less what it uses. Cached pages of files that nobody has read lately give way, so they do not count."""
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is None or used is None:
        return None
    cached = _field(cgroup / "memory.stat", "inactive_file") or 0
    return max(0, limit - max(0, used - cached))


def _number(path: Path) -> int | None:
    """The number in a file; None when there is no file, or it says "max"."""
    first = next(iter(_lines(path)), "")
    return int(first) if first.isdecimal() else None


def _field(path: Path, name: str) -> int | None:
    """The number after `name` in a file of such lines."""
    for line in _lines(path):
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []

"""Reading what Linux tells in small files."""

from pathlib import Path, PurePosixPath


def lines(path: Path) -> list[str]:
    """The lines of a file; none when it is not there or cannot be read."""
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def field(path: Path, name: str) -> int | None:
    """The number after `name` in a file of such lines."""
    for line in lines(path):
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return None


def with_parents(root: Path, cgroup: str) -> list[Path]:
    """The directory of each cgroup from the root to `cgroup`: a limit holds for all below it."""
    parts = PurePosixPath(cgroup).parts[1:]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]

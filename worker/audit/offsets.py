"""A set of offsets as ranges: small where neighbours come together, as they do when a whole batch is late or lost."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class OffsetRanges:
    """Offsets, which must be added in ascending order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # exclusive

    def __len__(self) -> int:
        """How many offsets there are."""
        return sum(self._ends) - sum(self._starts)

    def __iter__(self) -> Iterator[int]:
        """Every offset, ascending."""
        for start, end in zip(self._starts, self._ends, strict=True):
            yield from range(start, end)

    def add(self, offset: int) -> None:
        """Add one that is above all others."""
        if self._ends and offset < self._ends[-1]:
            raise ValueError(f"{offset} does not come after {self._ends[-1] - 1}")
        if self._ends and offset == self._ends[-1]:
            self._ends[-1] += 1
        else:
            self._starts.append(offset)
            self._ends.append(offset + 1)

    def remove(self, offset: int) -> bool:
        """Take one out. Returns whether it was there."""
        at = bisect_right(self._starts, offset) - 1
        if at < 0 or offset >= self._ends[at]:
            return False
        start, end = self._starts[at], self._ends[at]
        kept = [(first, last) for first, last in ((start, offset), (offset + 1, end)) if first < last]
        self._starts[at : at + 1] = [first for first, _ in kept]
        self._ends[at : at + 1] = [last for _, last in kept]
        return True

    def take_below(self, limit: int) -> list[range]:
        """Take out all offsets below `limit`; returns them as ranges."""
        whole = bisect_left(self._starts, limit)
        taken = [range(start, end) for start, end in zip(self._starts[:whole], self._ends[:whole], strict=True)]
        del self._starts[:whole], self._ends[:whole]
        if taken and taken[-1].stop > limit:
            self._starts.insert(0, limit)
            self._ends.insert(0, taken[-1].stop)
            taken[-1] = range(taken[-1].start, limit)
        return taken

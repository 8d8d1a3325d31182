"""W3C Trace Context, strictly: whatever is not as the recommendation has it counts as not there."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_MOST_PARENT: Final = 512
_MOST_STATE: Final = 512
_MEMBER: Final = re.compile(
    rb"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_MOST_MEMBERS: Final = 32
_SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """Where a record or a call comes from.

    Attributes:
        trace_id: Of the whole trace, not 0.
        span_id: Of the span that sent it, not 0.
        flags: The lowest bit says that the trace is recorded.
        state: What the senders' systems want to know again, by their names.
    """

    trace_id: int
    span_id: int
    flags: int
    state: tuple[tuple[str, str], ...] = ()

    @property
    def sampled(self) -> bool:
        """Whether the sender records its spans."""
        return bool(self.flags & _SAMPLED)


def trace_context(headers: Iterable[tuple[str, bytes | None]]) -> TraceContext | None:
    """The context in the headers of a record; None when there is none, more than one, or one that is malformed."""
    parents = [value for name, value in headers if name == TRACEPARENT]
    if len(parents) != 1 or not parents[0] or len(parents[0]) > _MOST_PARENT:
        return None
    match = _PARENT.fullmatch(parents[0])
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5] is not None):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, int(match[4], 16), _state(headers))


def _state(headers: Iterable[tuple[str, bytes | None]]) -> tuple[tuple[str, str], ...]:
    """The state; empty when any of it is malformed."""
    whole = b",".join([value for name, value in headers if name == TRACESTATE and value])
    if len(whole) > _MOST_STATE:
        return ()
    members = [member.strip(b" \t") for member in whole.split(b",")]
    matches = [_MEMBER.fullmatch(member) for member in members if member]
    found = {match[1].decode(): match[2].decode() for match in matches if match is not None}
    return tuple(found.items()) if len(found) == len(matches) <= _MOST_MEMBERS else ()

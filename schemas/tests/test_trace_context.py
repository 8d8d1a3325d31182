"""W3C Trace Context out of headers: what is valid is read, all else is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.trace_context import TraceContext, trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
CONTEXT = TraceContext(int(TRACE, 16), int(SPAN, 16), 1)


@pytest.mark.parametrize(
    ("parent", "flags"),
    [
        (PARENT, 1),
        (PARENT[:-2] + b"00", 0),
        (PARENT[:-2] + b"ff", 255),
        (b"01" + PARENT[2:], 1),
        (b"cc" + PARENT[2:] + b"-what-the-future-brings", 1),
    ],
)
def test_valid_parents(parent: bytes, flags: int) -> None:
    """Later versions are read as far as they are known; the lowest bit says sampled."""
    context = trace_context([("other", None), ("traceparent", parent)])
    assert context == CONTEXT._replace(flags=flags)
    assert context is not None
    assert context.sampled is bool(flags & 1)


@pytest.mark.parametrize(
    "parent",
    [
        None,
        b"",
        b"00",
        PARENT[:-1],
        PARENT + b"0",
        PARENT + b"-more",
        PARENT + b"\n",
        b" " + PARENT,
        PARENT.upper(),
        PARENT.replace(b"b7", b"xy"),
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + PARENT[35:],
        PARENT[:36] + b"0" * 16 + b"-01",
        PARENT.replace(b"-", b"_"),
        b"01" + PARENT[2:] + b"-" + b"x" * 600,
        b"01" + PARENT[2:] + b"-\xff",
        b"\xff" * 55,
        b"%s" * 20,
    ],
)
def test_hostile_parents_are_not_there(parent: bytes | None) -> None:
    """Nothing is made of them, and nothing fails."""
    assert trace_context([("traceparent", parent)]) is None


def test_two_parents_are_none() -> None:
    """Nobody can tell which one is right."""
    assert trace_context([("traceparent", PARENT), ("traceparent", PARENT)]) is None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([b"rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"], (("rojo", "00f067aa0ba902b7"), ("congo", "t61rcWkgMzE"))),
        ([b"a=1", b"b@c=2"], (("a", "1"), ("b@c", "2"))),
        ([b"a=1,,b=2"], (("a", "1"), ("b", "2"))),
        ([b""], ()),
        ([b"a=1,a=2"], ()),
        ([b"a"], ()),
        ([b"A=1"], ()),
        ([b"a=\xff"], ()),
        ([b"a=1\n"], ()),
        ([b",".join(b"k%d=v" % number for number in range(33))], ()),
        ([b"a=" + b"x" * 512], ()),
    ],
)
def test_the_state_is_whole_or_empty(states: list[bytes], expected: tuple[tuple[str, str], ...]) -> None:
    """A malformed member voids all of it, never the parent."""
    headers = [("traceparent", PARENT), *(("tracestate", state) for state in states)]
    assert trace_context(headers) == CONTEXT._replace(state=expected)


@given(
    st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate"]), st.none() | st.binary(max_size=60)), max_size=3)
)
def test_nothing_fails(headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever the bytes."""
    assert trace_context(headers) is None

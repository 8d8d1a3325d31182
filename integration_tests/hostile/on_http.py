"""Attacks on a port for health and metrics. Each is one function that takes an address and its own randomness."""

from contextlib import ExitStack
from random import Random

from integration_tests.hostile.wire import connection, mutated, read_some
from worker.clock import SystemClock

_PATHS = (
    b"/status",
    b"/ready",
    b"/metrics",
    b"/",
    b"/metrics?x=1",
    b"/../../etc/passwd",
    b"//",
    b"*",
    b"/\xff\xfe\x00",
)
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"TRACE", b"CONNECT", b"get", b"", b"\x00", b"GET\tGET", b"M" * 70_000)
_VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/0.9",
    b"HTTP/9.9",
    b"HTTP/-1.1",
    b"HTTP/1",
    b"",
    b"SIP/2.0",
    b"HTTP/1.1 x",
)
_HEADERS = (
    b"Host: a",
    b"Content-Length: 99999999999",
    b"Content-Length: -1",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Connection: keep-alive",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b" folded: line",
    b": no name",
    b"no colon",
    b"\xff\xfe: \x00",
    "Ünïcode: ✓".encode(),
)
_CLOCK = SystemClock()


def _request(rng: Random) -> bytes:
    line = b" ".join((rng.choice(_METHODS), rng.choice(_PATHS), rng.choice(_VERSIONS)))
    headers = rng.sample(_HEADERS, rng.randint(0, 5))
    return b"\r\n".join((line, *headers, b"", b""))


def nonsense(address: str, rng: Random) -> None:
    """Random bytes."""
    with connection(address, rng) as link:
        link.sendall(rng.randbytes(rng.randint(1, 4096)))
        read_some(link)


def odd(address: str, rng: Random) -> None:
    """A request whose parts do not belong together, or one that has been damaged."""
    with connection(address, rng) as link:
        request = _request(rng)
        link.sendall(mutated(request, rng) if rng.random() < 0.5 else request)
        read_some(link)


def torn(address: str, rng: Random) -> None:
    """The beginning of a request, and nothing after it."""
    with connection(address, rng) as link:
        request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        link.sendall(request[: rng.randrange(len(request))])


def huge(address: str, rng: Random) -> None:
    """A header, a line or a body that does not end, or a thousand headers."""
    with connection(address, rng) as link:
        begin = rng.choice((b"GET /status HTTP/1.1\r\nA: ", b"GET /", b"POST /status HTTP/1.1\r\n\r\n"))
        link.sendall(begin + b"a" * rng.choice((65_537, 1_000_000)))
        read_some(link)
    with connection(address, rng) as link:
        link.sendall(b"GET /status HTTP/1.1\r\n" + b"A: b\r\n" * rng.choice((99, 101, 10_000)) + b"\r\n")
        read_some(link)


def slow(address: str, rng: Random) -> None:
    """Many requests that come a byte at a time."""
    with ExitStack() as stack:
        links = [stack.enter_context(connection(address, rng)) for _ in range(20)]
        for byte in b"GET /st":
            for link in links:
                link.send(bytes([byte]))
            _CLOCK.sleep(0.05)


def pipelined(address: str, rng: Random) -> None:
    """Further requests before the first is answered."""
    with connection(address, rng) as link:
        link.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % rng.choice(_PATHS[:5]) for _ in range(50)))
        read_some(link)


def deaf(address: str, rng: Random) -> None:
    """Asks, and never reads the answer."""
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connection(address, rng)).sendall(b"GET /metrics HTTP/1.0\r\n\r\n")


def crowd(address: str, rng: Random) -> None:
    """More connections than there is room for, that say nothing."""
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(connection(address, rng))
        _CLOCK.sleep(0.2)


ATTACKS = (nonsense, odd, torn, huge, slow, pipelined, deaf, crowd)

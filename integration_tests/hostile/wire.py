"""What every attack does with a socket."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

ANSWER_S = 0.3  # how long an attack waits for what it does not care about
_CONNECT_S = 10.0
_LINGER_NOT = struct.pack("ii", 1, 0)


@contextmanager
def connection(address: str, rng: Random) -> Iterator[socket.socket]:
    """A connection; one in four ends with a reset. That the server hangs up on an attack is as it should be.

    Raises:
        OSError: nobody takes the connection.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), _CONNECT_S) as link:
        link.settimeout(ANSWER_S)
        if rng.random() < 0.25:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        with contextlib.suppress(OSError):
            yield link


def read_some(link: socket.socket) -> bytes:
    """What comes until the end, or until nothing more does for a moment."""
    data = bytearray()
    with contextlib.suppress(OSError):
        while piece := link.recv(65_536):
            data += piece
    return bytes(data)


def mutated(data: bytes, rng: Random) -> bytes:
    """The same with some bytes turned, cut out, doubled or put in."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(result) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del result[at : at + rng.randint(1, 16)]
        elif kind == 2:
            result[at:at] = result[at : at + rng.randint(1, 64)]
        else:
            result[at:at] = rng.randbytes(rng.randint(1, 16))
    return bytes(result)

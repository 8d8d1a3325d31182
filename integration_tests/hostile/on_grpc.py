"""Attacks on a port for gRPC, that is HTTP/2. Each is one function that takes an address and its own randomness."""

import struct
from contextlib import ExitStack
from random import Random

import hpack

from integration_tests.hostile.wire import connection, mutated, read_some
from schemas.document import Document
from worker.bench.http2 import FrameType, frame
from worker.clock import SystemClock
from worker.serve.grpc import SERVICE

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HELLO = _PREFACE + frame(FrameType.SETTINGS, 0, 0)
_END_STREAM, _END_HEADERS = 0x1, 0x4
_CANCEL = struct.pack(">I", 8)
_DOCUMENT = Document("u", "Football", "a late goal won the match", "en").to_protobuf()
_FIELDS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": f"/{SERVICE}/Classify",
    ":authority": "a",
    "content-type": "application/grpc",
    "te": "trailers",
}
_ODD_FIELDS = {
    ":method": ("GET", "", "PRI", "\x00"),
    ":scheme": ("https", "", "file"),
    ":path": (
        "",
        "/",
        "*",
        f"/{SERVICE}/Nothing",
        f"/{SERVICE}/ClassifyBatch",
        "/grpc.health.v1.Health/Watch",
        "/" * 9000,
    ),
    ":authority": ("", "\xff", "a:b:c"),
    "content-type": ("text/html", "application/json", "application/grpc+json", "", "application/grpc-web"),
    "te": ("gzip", "", "trailers, deflate"),
    "grpc-timeout": ("0n", "-1S", "99999999H", "1", "x", "1000000000n"),
    "grpc-encoding": ("gzip", "nothing", "identity"),
    "grpc-accept-encoding": ("", "x" * 5000),
    "bin-bin": ("!!!", "AAA="),
    "connection": ("keep-alive",),
    "Upper": ("case",),
    "": ("no name",),
    ":unknown": ("pseudo",),
}
_CLOCK = SystemClock()


def _block(fields: dict[str, str]) -> bytes:
    return hpack.Encoder().encode(list(fields.items()))


def _message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


_HEADERS = _block(_FIELDS)


def _call(stream: int, headers: bytes, data: bytes) -> bytes:
    return frame(FrameType.HEADERS, _END_HEADERS, stream, headers) + frame(FrameType.DATA, _END_STREAM, stream, data)


def nonsense(address: str, rng: Random) -> None:
    """Random bytes, another protocol, or a greeting that has been damaged."""
    with connection(address, rng) as link:
        other = (b"GET /status HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", mutated(_HELLO, rng))
        link.sendall(rng.choice((*other, rng.randbytes(rng.randint(1, 4096)))))
        read_some(link)


def odd_frames(address: str, rng: Random) -> None:
    """A greeting, then frames of any type with any flags, on any stream, with any content."""
    with connection(address, rng) as link:
        frames = bytearray(_HELLO)
        for _ in range(rng.randint(1, 40)):
            payload = rng.randbytes(rng.choice((0, 1, 4, 5, 6, 8, 64, 1000)))
            head = struct.pack(">BHBBI", 0, len(payload), rng.randrange(12), rng.randrange(256), rng.getrandbits(32))
            frames += head + payload
        link.sendall(frames)
        read_some(link)


def torn(address: str, rng: Random) -> None:
    """A call that ends in its midst, or says that it is longer than it is."""
    with connection(address, rng) as link:
        whole = _HELLO + _call(1, _HEADERS, _message(_DOCUMENT))
        link.sendall(rng.choice((whole[: rng.randrange(len(whole))], _HELLO + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")))
        read_some(link)


def damaged_documents(address: str, rng: Random) -> None:
    """Good calls on one connection, whose documents have been damaged."""
    with connection(address, rng) as link:
        calls = bytearray(_HELLO)
        for stream in range(1, 21, 2):
            calls += _call(stream, _HEADERS, _message(mutated(_DOCUMENT, rng)))
        link.sendall(calls)
        read_some(link)


def wrong_lengths(address: str, rng: Random) -> None:
    """Messages that are shorter or longer than they say, or compressed without a word of it."""
    with connection(address, rng) as link:
        said = rng.choice((0, 1, len(_DOCUMENT) - 1, len(_DOCUMENT) + 1, 2**31, 2**32 - 1))
        data = struct.pack(">BI", rng.choice((0, 1, 255)), said) + _DOCUMENT
        link.sendall(_HELLO + _call(1, _HEADERS, data))
        read_some(link)


def odd_headers(address: str, rng: Random) -> None:
    """Calls with wrong methods, paths, content types and more; some headers are missing."""
    with connection(address, rng) as link:
        fields = dict(_FIELDS)
        for name in rng.sample(sorted(_ODD_FIELDS), rng.randint(1, 4)):
            fields[name] = rng.choice(_ODD_FIELDS[name])
        if rng.random() < 0.3:
            del fields[rng.choice(sorted(_FIELDS))]
        link.sendall(_HELLO + _call(1, _block(fields), _message(_DOCUMENT)))
        read_some(link)


def damaged_headers(address: str, rng: Random) -> None:
    """Header blocks that do not decode, or that point at what is not in the table."""
    with connection(address, rng) as link:
        block = rng.choice(
            (mutated(_HEADERS, rng), rng.randbytes(200), b"\xff" * 60, b"\x3f\xe1\xff\xff\x7f" + _HEADERS)
        )
        link.sendall(_HELLO + _call(1, block, _message(_DOCUMENT)))
        read_some(link)


def huge_metadata(address: str, rng: Random) -> None:
    """Headers of a hundred kilobytes, in frames that follow each other, which may never end."""
    with connection(address, rng) as link:
        block = _block(_FIELDS | {f"x-{n}": "y" * 1000 for n in range(rng.choice((10, 100, 300)))})
        pieces = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
        data = bytearray(_HELLO + frame(FrameType.HEADERS, 0, 1, pieces[0]))
        for piece in pieces[1:]:
            data += frame(FrameType.CONTINUATION, 0, 1, piece)
        data += frame(FrameType.CONTINUATION, rng.choice((0, _END_HEADERS)), 1)
        link.sendall(data)
        read_some(link)


def resets(address: str, rng: Random) -> None:
    """Calls that are given up as soon as they are made, by the hundred."""
    with connection(address, rng) as link:
        calls = bytearray(_HELLO)
        for stream in range(1, 2 * rng.choice((50, 500)), 2):
            calls += frame(FrameType.HEADERS, _END_HEADERS, stream, _HEADERS)
            calls += frame(FrameType.RST_STREAM, 0, stream, _CANCEL)
        link.sendall(calls)
        read_some(link)


def floods(address: str, rng: Random) -> None:
    """A thousand frames that each want an answer or change the rules."""
    with connection(address, rng) as link:
        one = rng.choice(
            (
                frame(FrameType.PING, 0, 0, b"12345678"),
                frame(FrameType.SETTINGS, 0, 0, struct.pack(">HI", rng.randrange(8), rng.getrandbits(32))),
                frame(FrameType.WINDOW_UPDATE, 0, 0, struct.pack(">I", rng.choice((0, 1, 2**31 - 1)))),
                frame(FrameType.DATA, 0, 1),
                frame(FrameType.GOAWAY, 0, 0, bytes(8)),
            )
        )
        link.sendall(_HELLO + one * 1000)
        read_some(link)


def held(address: str, rng: Random) -> None:
    """Calls that never send their document."""
    with connection(address, rng) as link:
        calls = b"".join(frame(FrameType.HEADERS, _END_HEADERS, stream, _HEADERS) for stream in range(1, 60, 2))
        link.sendall(_HELLO + calls)
        read_some(link)


def crowd(address: str, rng: Random) -> None:
    """A hundred connections that say nothing, or only hello."""
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connection(address, rng)).sendall(rng.choice((b"", _HELLO)))
        _CLOCK.sleep(0.2)


ATTACKS = (
    nonsense,
    odd_frames,
    torn,
    damaged_documents,
    wrong_lengths,
    odd_headers,
    damaged_headers,
    huge_metadata,
    resets,
    floods,
    held,
    crowd,
)

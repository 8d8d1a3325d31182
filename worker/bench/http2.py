"""Just enough of an HTTP/2 client to put a gRPC server under load for a tenth of what a gRPC client costs.

A client as costly as the server would measure itself on a machine that both share. Requests are encoded once and sent
again and again under new stream numbers; of the answers only frame heads and the trailers are read. Not a client for
anything but loopback measurements: one request message per call, no TLS, no retries.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK, by the library `hpack`), and gRPC's "PROTOCOL-HTTP2".
"""

import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import hpack
from hpack.struct import NeverIndexedHeaderTuple

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = struct.Struct(">HBBBI")  # the length in 16 + 8 bits, type, flags, stream
_HEAD_BYTES: Final = 9
_MAX_FRAME: Final = 16_384
_INITIAL_WINDOW: Final = 65_535
_LARGE_WINDOW: Final = 2**31 - 1
_RENEW_WINDOW: Final = 2**24  # received bytes after which the connection's window is opened again
_PIECE: Final = 2**18
_LAST_STREAM: Final = 2**31 - 1
_GRPC_STATUS: Final = b"grpc-status"
_UNKNOWN: Final = 2


class FrameType(IntEnum):
    """RFC 9113, section 6."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


_ACK: Final = 0x1
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_CANCEL: Final = 8
_UNAVAILABLE: Final = 14
# gRPC's "PROTOCOL-HTTP2", errors: what a reset stream means.
_RESET_STATUS: Final = {7: _UNAVAILABLE, 8: 1, 11: 8, 12: 7}
_INTERNAL: Final = 13
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4


class Http2Error(Exception):
    """The connection cannot be used any more, or the server does what this client has no answer to."""


class Ended(NamedTuple):
    """One call that is over: its stream and the gRPC status code as a number."""

    stream: int
    status: int


class Request(NamedTuple):
    """A call that is ready to be sent: its header block, and its message in frame-sized pieces."""

    headers: bytes
    pieces: tuple[bytes, ...]
    size: int


def request(path: str, message: bytes, timeout_ms: int, authority: str) -> Request:
    """Encode one call. Nothing goes into the header table, so the same bytes serve for every stream."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", f"{timeout_ms}m"),
    ]
    block = hpack.Encoder().encode([NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)
    body = struct.pack(">BI", 0, len(message)) + message
    pieces = tuple(body[start : start + _MAX_FRAME] for start in range(0, len(body), _MAX_FRAME))
    return Request(block, pieces, len(body))


def frame(kind: FrameType, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


class Connection:
    """One connection that never blocks: `select` tells when to `receive` and when to `flush`."""

    def __init__(self, host: str, port: int, connect_seconds: float = 5.0) -> None:
        """Connect and greet.

        Raises:
            OSError: nobody listens there.
        """
        self._socket = socket.create_connection((host, port), connect_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        settings = struct.pack(">HIHIHI", _HEADER_TABLE_SIZE, 0, _ENABLE_PUSH, 0, _INITIAL_WINDOW_SIZE, _LARGE_WINDOW)
        self._out = bytearray(_PREFACE + frame(FrameType.SETTINGS, 0, 0, settings))
        self._out += frame(FrameType.WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGE_WINDOW - _INITIAL_WINDOW))
        self._in = bytearray()
        self._window = _INITIAL_WINDOW
        self._stream_window = _INITIAL_WINDOW
        self._waiting: deque[tuple[int, Request]] = deque()
        self._next_stream = 1
        self._received = 0
        self._statuses: dict[bytes, int] = {}
        self._decoder = hpack.Decoder()
        self.going_away = False
        self.flush()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether the kernel did not take everything yet."""
        return bool(self._out)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def send(self, call: Request) -> int:
        """Begin a call; returns its stream. What the server's window does not allow yet goes out later.

        Raises:
            Http2Error: the connection is closing, or the message exceeds what one stream may carry at once.
        """
        stream = self._next_stream
        if self.going_away or stream > _LAST_STREAM:
            raise Http2Error("the connection takes no new calls")
        if call.size > self._stream_window:
            raise Http2Error(f"a message of {call.size} bytes exceeds the window of a stream, {self._stream_window}")
        self._next_stream += 2
        if self._waiting or call.size > self._window:
            self._waiting.append((stream, call))
        else:
            self._append(stream, call)
            self.flush()
        return stream

    def cancel(self, stream: int) -> None:
        """Give up on a call, as a client does at its deadline."""
        for waiting in self._waiting:
            if waiting[0] == stream:  # the server has never heard of it
                self._waiting.remove(waiting)
                return
        self._out += frame(FrameType.RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))

    def flush(self) -> None:
        """Write what the kernel takes.

        Raises:
            Http2Error: the server is gone.
        """
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            except OSError as error:
                raise Http2Error(f"the connection broke: {error}") from error
            del self._out[:sent]

    def receive(self) -> list[Ended]:
        """Read what is there; returns the calls that ended.

        Raises:
            Http2Error: the server is gone.
        """
        try:
            data = self._socket.recv(_PIECE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Http2Error(f"the connection broke: {error}") from error
        if not data:
            raise Http2Error("the server closed the connection")
        self._in += data
        ended = list(self._take_in())
        if self._waiting:
            self._send_waiting()
        if self._out:
            self.flush()
        return ended

    def _append(self, stream: int, call: Request) -> None:
        out = self._out
        size = len(call.headers)
        out += _HEAD.pack(size >> 8, size & 0xFF, FrameType.HEADERS, _END_HEADERS, stream)
        out += call.headers
        last = call.pieces[-1]
        for piece in call.pieces:
            size = len(piece)
            out += _HEAD.pack(size >> 8, size & 0xFF, FrameType.DATA, _END_STREAM if piece is last else 0, stream)
            out += piece
        self._window -= call.size

    def _send_waiting(self) -> None:
        while self._waiting and self._waiting[0][1].size <= self._window:
            self._append(*self._waiting.popleft())

    def _take_in(self) -> Iterator[Ended]:
        data, at, end = self._in, 0, len(self._in)
        while end - at >= _HEAD_BYTES:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            after = at + _HEAD_BYTES + (high << 8 | low)
            if after > end:
                break
            if kind == FrameType.DATA:
                self._received += after - at - _HEAD_BYTES
                if flags & _END_STREAM:  # gRPC always ends with trailers
                    yield Ended(stream, _UNKNOWN)
            elif kind == FrameType.HEADERS:
                if flags & _END_STREAM:
                    yield Ended(stream, self._status(bytes(data[at + _HEAD_BYTES : after])))
            else:
                yield from self._control(kind, flags, stream, bytes(data[at + _HEAD_BYTES : after]))
            at = after
        del data[:at]
        if self._received > _RENEW_WINDOW:
            self._out += frame(FrameType.WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received))
            self._received = 0

    def _status(self, block: bytes) -> int:
        """The gRPC status of a block of trailers. The header table is off, so equal blocks mean equal things."""
        found = self._statuses.get(block)
        if found is None:
            fields = dict(self._decoder.decode(block, raw=True))
            found = self._statuses[block] = int(fields.get(_GRPC_STATUS, _UNKNOWN))
        return found

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> Sequence[Ended]:
        if kind == FrameType.RST_STREAM:
            return [Ended(stream, _RESET_STATUS.get(int.from_bytes(payload, "big"), _INTERNAL))]
        if kind == FrameType.SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == FrameType.PING and not flags & _ACK:
            self._out += frame(FrameType.PING, _ACK, 0, payload)
        elif kind == FrameType.WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == FrameType.GOAWAY:
            self.going_away = True
        elif kind == FrameType.CONTINUATION:
            raise Http2Error("the server split a header block, which this client does not read")
        return ()

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window = value
        self._out += frame(FrameType.SETTINGS, _ACK, 0)

"""An HTTP/2 peer that does exactly what a test tells it to, frame by frame.

One thread for each connection, so that a script is a plain function: it sends frames, waits, closes. Nothing here keeps
the rules of RFC 9113 for a script; what it is not told is what a well-behaved server does.
"""

import socket
import ssl
import struct
import threading
import time
from typing import Callable, Iterable, List, Optional, Tuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED = 7, 8, 11, 13

# `:status: 200` of HPACK's static table.
STATUS_200 = b"\x88"

# How long a script waits for the client before it gives up, in seconds; only a failing test meets it.
PATIENCE = 40

Fields = Iterable[Tuple[bytes, bytes]]


class Gone(Exception):
    """The client closed or reset the connection, or the peer stops."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: Optional[int] = None) -> bytes:
    """A frame; `length` may lie."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """An HPACK integer (RFC 7541 section 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def text(value: bytes) -> bytes:
    """An HPACK string, not Huffman-coded."""
    return integer(len(value), 7) + value


def field(name: bytes, value: bytes) -> bytes:
    """A field that goes into no table."""
    return b"\x00" + text(name) + text(value)


def indexed(name: bytes, value: bytes) -> bytes:
    """A field that goes into the dynamic table."""
    return b"\x40" + text(name) + text(value)


def block(fields: Fields = (), status: bytes = b"200") -> bytes:
    """A response's field block."""
    return field(b":status", status) + b"".join(field(*pair) for pair in fields)


class Connection:
    """One accepted connection."""

    def __init__(self, peer: "H2Peer", sock: socket.socket):
        self.peer, self.sock = peer, sock
        self.open = True
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Sends all of it, or raises Gone."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone() from error

    def frame(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: Optional[int] = None) -> None:
        """Sends a frame."""
        self.send(frame(kind, flags, stream, payload, length))

    def settings(self, *pairs: Tuple[int, int]) -> None:
        """Sends SETTINGS."""
        self.frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))

    def headers(self, stream: int, payload: bytes = STATUS_200, end: bool = False) -> None:
        """Sends a whole block in one frame."""
        self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, payload)

    def data(self, stream: int, payload: bytes = b"", end: bool = False) -> None:
        """Sends DATA."""
        self.frame(DATA, END_STREAM if end else 0, stream, payload)

    def good(self, stream: int) -> None:
        """A response of four bytes."""
        self.headers(stream, block([(b"content-length", b"4")]))
        self.data(stream, b"good", True)

    def reset(self, stream: int, code: int) -> None:
        """Sends RST_STREAM."""
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def goaway(self, last: int, code: int = NO_ERROR) -> None:
        """Sends GOAWAY."""
        self.frame(GOAWAY, 0, 0, struct.pack(">II", last, code))

    def window(self, stream: int, by: int) -> None:
        """Sends WINDOW_UPDATE."""
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))

    def close(self) -> None:
        """Closes in order."""
        if self.open:
            self.open = False
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()

    def read_frame(self) -> Tuple[int, int, int, bytes]:
        """The client's next frame: type, flags, stream, payload. PING and SETTINGS are acknowledged besides."""
        head = self._take(9)
        size, (kind, flags, stream) = int.from_bytes(head[:3], "big"), struct.unpack(">BBI", head[3:])
        payload = self._take(size)
        if self.peer.polite and flags & ACK == 0:
            if kind == SETTINGS:
                self.frame(SETTINGS, ACK)
            elif kind == PING:
                self.frame(PING, ACK, 0, payload)
        return kind, flags, stream, payload

    def read_request(self) -> int:
        """Reads until a request's head has come; its stream."""
        while True:
            kind, _, stream, _ = self.read_frame()
            if kind == HEADERS:
                return stream

    def read_until(self, kind: int) -> Tuple[int, int, int, bytes]:
        """Reads until a frame of that type has come."""
        while True:
            got = self.read_frame()
            if got[0] == kind:
                return got

    def drain(self) -> None:
        """Reads until the client closes."""
        while True:
            self.read_frame()

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                data = self.sock.recv(262144)
            except OSError as error:
                raise Gone() from error
            if not data:
                raise Gone()
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


Script = Callable[[Connection, int], None]


class H2Peer:
    """Listens on a loopback port of its own. As long as it is `armed`, `script` runs for each request (with its stream),
    or, if it is meant for that, `on_connect` for each connection, before anything is sent; then every request gets a
    good response."""

    def __init__(self, tls: Optional[ssl.SSLContext] = None):
        self.script: Optional[Script] = None
        self.on_connect: Optional[Callable[[Connection], None]] = None
        self.first_settings: List[Tuple[int, int]] = []
        self.armed = True
        self.polite = True
        self.accepted = 0
        self.played = 0
        # Requests that were answered well, by the script or after it.
        self.requests = 0
        # How many streams' scripts may run; None: all as long as it is armed.
        self.times: Optional[int] = None
        # What the scripts keep from one request to the next.
        self.streams: List[int] = []
        self._connections: List[Connection] = []
        self._lock = threading.Lock()
        self._tls = tls
        self._stopping = False
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/") -> str:
        """URL of a path."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """Closes everything."""
        self._stopping = True
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while not self._stopping:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(PATIENCE)
            self.accepted += 1
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        connection = Connection(self, sock)
        with self._lock:
            self._connections.append(connection)
        try:
            self._serve(connection)
        except Gone:
            pass
        finally:
            connection.close()

    def _serve(self, connection: Connection) -> None:
        if self._tls is not None and connection.sock.selected_alpn_protocol() != "h2":  # type: ignore[attr-defined]
            self._serve_http1(connection)
            return
        if self.armed and self.on_connect is not None:
            self.played += 1
            self.on_connect(connection)
            if not connection.open:
                return
        else:
            connection._take(len(PREFACE))
            connection.settings(*self.first_settings)
        while connection.open:
            stream = connection.read_request()
            if self.armed and self.script is not None and (self.times is None or self.played < self.times):
                self.played += 1
                self.script(connection, stream)
            else:
                self.requests += 1
                connection.good(stream)

    def _serve_http1(self, connection: Connection) -> None:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection._take(1)
            self.requests += 1
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")


def until(condition: Callable[[], bool]) -> bool:
    """Waits for something that a script needs; False after its patience."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True

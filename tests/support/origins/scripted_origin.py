"""An HTTP/1.1 origin that does exactly what a test tells it to, byte for byte.

One thread for each connection, so that a script is a plain function: it sends, waits for the test, resets. Nothing here
knows HTTP well enough to correct a script.
"""

import dataclasses
import socket
import ssl
import struct
import threading
import time
from typing import Callable, Dict, List, Optional, Tuple

# How long a script waits for the test before it gives up, in seconds; only a failing test meets it.
PATIENCE = 30


class Gone(Exception):
    """The other side closed or reset the connection, or the origin stops."""


@dataclasses.dataclass
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: List[Tuple[bytes, bytes]]
    body: bytes
    connection: int  # number of the connection, from 1
    head: bytes

    def header(self, name: str) -> Optional[bytes]:
        """The first value of a field, or None."""
        wanted = name.lower().encode()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


class Connection:
    """One accepted connection, and the request it is at."""

    def __init__(self, origin: "ScriptedOrigin", sock: socket.socket, number: int):
        self.origin = origin
        self.sock = sock
        self.number = number
        self.request: Optional[Request] = None
        self.open = True
        self._buffer = b""

    # What a script does.

    def send(self, data: bytes) -> None:
        """Sends all of it, or raises Gone."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone() from error

    def drip(self, data: bytes, every: float, size: int = 1) -> None:
        """Sends `size` bytes at a time, one piece each `every` seconds, until done or Gone."""
        for at in range(0, len(data), size):
            self.send(data[at : at + size])
            if self.origin.stopping.wait(every):
                raise Gone()

    def reply(self, body: bytes = b"", status: int = 200, headers: Tuple[Tuple[str, str], ...] = ()) -> None:
        """Sends a well-formed response with Content-Length."""
        lines = [f"HTTP/1.1 {status} Scripted"] + [f"{name}: {value}" for name, value in headers]
        lines.append(f"content-length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def hold(self, event: Optional[threading.Event] = None) -> None:
        """Keeps the connection open and silent until `event`, or until the other side closes."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self.origin.stopping.is_set():
            if event is not None and event.wait(0.01):
                return
            if self.peer_closed(0 if event is not None else 0.05):
                raise Gone()
        raise Gone()

    def peer_closed(self, timeout: float = 0) -> bool:
        """Whether the other side has closed; pending bytes are kept."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            self.sock.settimeout(None)
        self._buffer += data
        return not data

    def close(self) -> None:
        """Closes in order (FIN)."""
        if not self.open:
            return
        self.open = False
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self) -> None:
        """Closes with RST."""
        self.open = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Reading.

    def read_head(self) -> Optional[Request]:
        """The next request without its body, or None at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                return None
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.split(b"\r\n")
        method, target, _ = first.split(b" ", 2)
        headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            headers.append((name, value.strip()))
        self.request = Request(method.decode(), target.decode("latin-1"), headers, b"", self.number, head)
        return self.request

    def read_body(self) -> bytes:
        """The rest of the request, decoded from chunked coding if need be; also kept in `request.body`."""
        request = self.request
        assert request is not None
        if (request.header("transfer-encoding") or b"").lower() == b"chunked":
            body = b""
            while True:
                size = int(self._line().split(b";")[0], 16)
                if size == 0:
                    while self._line():
                        pass
                    break
                body += self._take(size)
                self._take(2)
            request.body = body
        else:
            request.body = self._take(int(request.header("content-length") or 0))
        return request.body

    def _fill(self) -> bool:
        try:
            data = self.sock.recv(262144)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        parts = bytearray(self._buffer)
        while len(parts) < size:
            try:
                data = self.sock.recv(262144)
            except OSError as error:
                raise Gone() from error
            if not data:
                raise Gone()
            parts += data
        self._buffer = bytes(parts[size:])
        return bytes(parts[:size])

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if not self._fill():
                raise Gone()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line


Script = Callable[[Connection], None]


class ScriptedOrigin:
    """Listens on a loopback port of its own and answers each path by its script."""

    def __init__(self, host: str = "127.0.0.1", tls: Optional[ssl.SSLContext] = None, receive_buffer: int = 0):
        self.stopping = threading.Event()
        self.requests: List[Request] = []
        self.accepted = 0
        # Runs instead of everything else when a connection is accepted.
        self.on_accept: Optional[Script] = None
        self._routes: Dict[str, Tuple[Script, bool]] = {}
        self._connections: List[Connection] = []
        self._lock = threading.Lock()
        self._tls = tls
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind((host, 0))
        self._listener.listen(512)
        self.host = host
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/", host: Optional[str] = None) -> str:
        """URL of a path here, by another name if `host` is given."""
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"http{'s' if self._tls else ''}://{name}:{self.port}{path}"

    def route(self, path: str, script: Script, read_body: bool = True) -> str:
        """Runs `script` for requests of `path` (without its query); returns the URL."""
        self._routes[path] = (script, read_body)
        return self.url(path)

    def raw(self, path: str, data: bytes, then: str = "close") -> str:
        """Answers `path` with exactly these bytes and then does `close`, `reset`, `hold` or `keep`."""

        def script(connection: Connection) -> None:
            connection.send(data)
            if then == "hold":
                connection.hold()
            elif then != "keep":
                getattr(connection, then)()

        return self.route(path, script)

    def count(self, path: str) -> int:
        """Requests of a path (without its query) so far."""
        with self._lock:
            return sum(1 for request in self.requests if request.target.split("?")[0] == path)

    def open_connections(self) -> int:
        """Connections that neither side is known to have closed."""
        with self._lock:
            return sum(1 for connection in self._connections if connection.open)

    def stop(self) -> None:
        """Closes everything."""
        self.stopping.set()
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.accepted += 1
                number = self.accepted
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        connection = Connection(self, sock, number)
        with self._lock:
            self._connections.append(connection)
        try:
            if self.on_accept is not None:
                self.on_accept(connection)
                return
            while connection.open:
                request = connection.read_head()
                if request is None:
                    break
                script, read_body = self._routes.get(request.target.split("?")[0], (_not_found, True))
                if read_body:
                    connection.read_body()
                with self._lock:
                    self.requests.append(request)
                script(connection)
        except Gone:
            pass
        finally:
            connection.close()


def _not_found(connection: Connection) -> None:
    connection.reply(b"no script for this path", 404)

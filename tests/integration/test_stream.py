"""FetchStream: bodies both ways, their order, their flow control, and their end."""

import hashlib
import queue
import threading
from typing import Any, Iterator, List, Optional

import grpc
import pytest
from calls import DEADLINE, Client, as_request, header_of, violations
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from real_origins import Httpbin, Nginx, refusing_port
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER, wait_until

pytestmark = pytest.mark.usefixtures("quiet")

MIB = 1024 * 1024


def pieces(total: int, size: int = 256 * 1024) -> Iterator[bytes]:
    """A body of `total` bytes that is not the same everywhere."""
    for at in range(0, total, size):
        yield (at.to_bytes(8, "big") * (size // 8))[: min(size, total - at)]


class Feed:
    """Messages for a call, put in one by one."""

    def __init__(self) -> None:
        self._queue: "queue.Queue[Optional[service_pb.FetchStreamRequest]]" = queue.Queue()
        self.taken = 0

    def start(self, request: pb.FetchRequest, streams_body: bool = True, length: Optional[int] = None) -> "Feed":
        start = service_pb.FetchStreamStart(request=request, streams_body=streams_body)
        if length is not None:
            start.body_length = length
        self._queue.put(service_pb.FetchStreamRequest(start=start))
        return self

    def chunk(self, data: bytes) -> "Feed":
        self._queue.put(service_pb.FetchStreamRequest(chunk=data))
        return self

    def message(self, message: service_pb.FetchStreamRequest) -> "Feed":
        self._queue.put(message)
        return self

    def end(self) -> "Feed":
        self._queue.put(None)
        return self

    def __iter__(self) -> Iterator[service_pb.FetchStreamRequest]:
        while True:
            message = self._queue.get()
            if message is None:
                return
            self.taken += 1
            yield message

    def call(self, client: Client) -> Any:
        return client.stub.FetchStream(iter(self), timeout=DEADLINE, metadata=client.metadata)


def tail_of(messages: List[Any]) -> service_pb.StreamTail:
    assert [message.WhichOneof("message") for message in messages].count("tail") == 1
    assert messages[-1].WhichOneof("message") == "tail"
    return messages[-1].tail


class TestDown:
    def test_a_big_body(self, client: Client, nginx: Nginx) -> None:
        size = (16 if SANITIZER else 128) * MIB
        digest = hashlib.sha256()
        with open(nginx.root / "random", "wb") as file:
            for piece in pieces(size):
                digest.update(piece)
                file.write(piece)
        seen = hashlib.sha256()
        call = client.stream(nginx.url("/random"))
        for chunk in call.chunks():
            seen.update(chunk)
        assert call.head is not None and call.tail is not None
        assert (call.head.status, header_of(call.head, "content-length")) == (200, str(size).encode())
        assert call.tail.body_bytes == size and not call.tail.HasField("error")
        assert call.tail.attempts == 1 and call.tail.fetch_id
        assert seen.digest() == digest.digest()

    @pytest.mark.parametrize("path,status", [("/empty", 204), ("/missing", 404), ("/unavailable", 503)])
    def test_any_status(self, client: Client, nginx: Nginx, path: str, status: int) -> None:
        call = client.stream(nginx.url(path), attempts=1)
        call.read()
        assert call.head is not None and call.head.status == status
        assert call.tail is not None and not call.tail.HasField("error")

    def test_head_method(self, client: Client, nginx: Nginx) -> None:
        call = client.stream(nginx.url("/1k"), method="HEAD")
        assert call.read() == b""
        assert call.head is not None and header_of(call.head, "content-length") == b"1024"

    def test_chunked_with_trailers(self, client: Client, origin: ScriptedOrigin, httpbin: Httpbin) -> None:
        data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
        call = client.stream(origin.raw("/x", data, "keep"))
        assert call.read() == b"abc"
        assert call.tail is not None
        assert [(header.name, header.value) for header in call.tail.trailers] == [("x-sum", b"1")]
        call = client.stream(httpbin.url("/stream-bytes/100000?chunk_size=1000&seed=1"))
        assert len(call.read()) == 100_000

    def test_pieces_arrive_as_the_origin_sends_them(self, client: Client, origin: ScriptedOrigin) -> None:
        more = threading.Event()

        def script(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            connection.hold(more)
            connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

        call = client.stream(origin.route("/x", script))
        chunks = call.chunks()
        assert next(chunks) == b"first"
        more.set()
        assert b"".join(chunks) == b"second"

    def test_the_head_arrives_before_the_body(self, client: Client, origin: ScriptedOrigin) -> None:
        more = threading.Event()

        def script(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            connection.hold(more)
            connection.send(b"ok")

        call = client.stream(origin.route("/x", script)).call
        assert next(call).head.status == 200
        more.set()
        assert [message.WhichOneof("message") for message in call] == ["chunk", "tail"]

    def test_no_response(self, client: Client, origin: ScriptedOrigin) -> None:
        for url, code in [
            (f"http://127.0.0.1:{refusing_port()}/", pb.CONNECTION_REFUSED),
            (origin.raw("/x", b""), pb.CONNECTION_TERMINATED),
        ]:
            call = client.stream(url, attempts=1)
            assert call.read() == b""
            assert call.head is None and call.tail is not None
            assert call.tail.error.code == code

    def test_cut_off_in_the_middle(self, client: Client, origin: ScriptedOrigin) -> None:
        call = client.stream(origin.raw("/x", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"))
        assert call.read() == b"abc"
        assert call.head is not None and call.tail is not None
        assert call.tail.error.code == pb.HTTP_RESPONSE_INCOMPLETE
        assert not call.tail.error.HasField("partial_response")
        assert (call.tail.body_bytes, call.tail.attempts) == (3, 1)
        # What was handed on is never fetched again.
        assert origin.count("/x") == 1

    def test_attempts_before_the_head(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            if origin.count("/x") < 3:
                connection.close()
            else:
                connection.reply(b"third")

        call = client.stream(origin.route("/x", script))
        assert call.read() == b"third"
        assert call.tail is not None and call.tail.attempts == 3

    def test_limits(self, client: Client, nginx: Nginx) -> None:
        call = client.stream(nginx.url("/1k"), max_bytes=1000, truncate=True)
        assert len(call.read()) == 1000
        assert call.tail is not None
        assert call.tail.truncated and not call.tail.HasField("error") and call.tail.body_bytes == 1000
        call = client.stream(nginx.url("/1k"), max_bytes=1000)
        assert len(call.read()) <= 1000
        assert call.tail is not None and call.tail.error.code == pb.HTTP_RESPONSE_BODY_SIZE

    def test_a_caller_that_does_not_read_stops_the_origin(
        self, client: Client, origin: ScriptedOrigin, fetchd: Fetchd
    ) -> None:
        sent = 0
        done = threading.Event()

        def script(connection: Connection) -> None:
            nonlocal sent
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (256 * MIB))
            try:
                for piece in pieces(256 * MIB, 65536):
                    connection.send(piece)
                    sent += len(piece)
            finally:
                done.set()

        call = client.stream(origin.route("/x", script))
        chunks = call.chunks()
        next(chunks)
        last = -1

        def stalled() -> bool:
            nonlocal last
            before, last = last, sent
            threading.Event().wait(0.2)
            return before == sent

        wait_until(stalled, "the origin can send no more")
        # What it could send is in the kernel's buffers and a few of ours.
        assert sent < 48 * MIB, f"{sent / MIB:.0f} MiB went to a caller that took one piece"
        # Two blocks, of 2 MiB at most: they grow with what gRPC took before its window was full.
        assert fetchd.metric("fetchd_buffered_bytes") <= 4 * MIB
        call.call.cancel()
        assert done.wait(10)

    def test_cancel_closes_the_connection(self, client: Client, origin: ScriptedOrigin) -> None:
        call = client.stream(origin.raw("/x", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "hold"))
        assert next(call.chunks()) == b"abc"
        assert origin.open_connections() == 1
        call.call.cancel()
        wait_until(lambda: origin.open_connections() == 0, "the connection is closed")


class TestUp:
    @pytest.mark.parametrize("known", [True, False])
    def test_a_big_body(self, client: Client, nginx: Nginx, known: bool) -> None:
        size = (8 if SANITIZER else 64) * MIB
        name = f"/upload/{'known' if known else 'chunked'}"
        call = client.upload(nginx.url(name), pieces(size), length=size if known else None, method="PUT")
        call.read()
        assert call.head is not None and call.head.status == 201
        assert (nginx.directory / name[1:]).read_bytes() == b"".join(pieces(size))

    def test_framing(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.reply(connection.request.body))  # type: ignore[union-attr]
        for length, field, value in [
            (6, "content-length", b"6"),
            (None, "transfer-encoding", b"chunked"),
        ]:
            call = client.upload(url, [b"abc", b"", b"def"], length=length, method="POST")
            assert call.read() == b"abcdef"
            request = origin.requests[-1]
            assert request.header(field) == value
            assert (request.header("content-length") is None) == (length is None)

    @pytest.mark.parametrize("length", [None, 0])
    def test_an_empty_body(self, client: Client, origin: ScriptedOrigin, length: Optional[int]) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b"[" + connection.request.body + b"]"))  # type: ignore[union-attr]
        assert client.upload(url, [], length=length, method="POST").read() == b"[]"

    @pytest.mark.parametrize("sent", [b"short", b"too long by far"])
    def test_another_length_than_said(self, client: Client, origin: ScriptedOrigin, sent: bytes) -> None:
        url = origin.route("/x", lambda connection: connection.hold(), read_body=False)
        call = client.upload(url, [sent], length=10, method="POST")
        call.read()
        assert call.head is None and call.tail is not None
        assert call.tail.error.code == pb.HTTP_REQUEST_BODY_SIZE
        wait_until(lambda: origin.open_connections() == 0, "the connection is not kept")

    def test_a_streamed_body_is_sent_once(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b"", 503))
        call = client.upload(url, [b"abc"], method="PUT")
        call.read()
        assert call.head is not None and call.head.status == 503
        assert call.tail is not None and call.tail.attempts == 1
        assert origin.count("/x") == 1

    def test_a_stale_connection_does_not_fail_an_upload(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            connection.reply(connection.request.body)  # type: ignore[union-attr]
            connection.close()

        url = origin.route("/x", script)
        for _ in range(10):
            call = client.upload(url, [b"abc"], length=3, method="POST")
            assert call.read() == b"abc"
            wait_until(lambda: origin.open_connections() == 0, "the origin has closed")

    def test_an_early_response_ends_the_upload(self, client: Client, origin: ScriptedOrigin) -> None:
        """The origin answers and stops reading; the caller, which has not half-closed, gets the response and the end."""

        def script(connection: Connection) -> None:
            connection.reply(b"not that big", 413, (("connection", "close"),))
            connection.hold()

        url = origin.route("/x", script, read_body=False)
        feed = Feed().start(as_request(url, method="PUT")).chunk(b"x" * 1000)
        messages = list(feed.call(client))
        feed.end()
        assert messages[0].head.status == 413
        assert b"".join(message.chunk for message in messages) == b"not that big"
        assert not tail_of(messages).HasField("error")

    def test_an_early_response_with_a_full_pipe(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            connection.reply(b"no", 403, (("connection", "close"),))
            connection.hold()

        url = origin.route("/x", script, read_body=False)
        call = client.upload(url, pieces(256 * MIB), method="PUT")
        assert call.read() == b"no"
        assert call.head is not None and call.head.status == 403

    def test_an_origin_that_does_not_read_stops_the_caller(
        self, client: Client, origin: ScriptedOrigin, fetchd: Fetchd
    ) -> None:
        go = threading.Event()

        def script(connection: Connection) -> None:
            assert go.wait(30)
            connection.reply(hashlib.sha256(connection.read_body()).hexdigest().encode())

        url = origin.route("/x", script, read_body=False)
        size = 64 * MIB
        taken = 0

        def counted() -> Iterator[bytes]:
            nonlocal taken
            for piece in pieces(size):
                taken += len(piece)
                yield piece

        call = client.upload(url, counted(), length=size, method="PUT", send_idle=60)
        last = -1

        def stalled() -> bool:
            nonlocal last
            before, last = last, taken
            threading.Event().wait(0.2)
            return 0 < before == taken

        wait_until(stalled, "the caller can send no more")
        assert taken < 32 * MIB, f"{taken / MIB:.0f} MiB were taken from the caller"
        assert fetchd.metric("fetchd_buffered_bytes") < 8 * MIB
        go.set()
        assert call.read() == hashlib.sha256(b"".join(pieces(size))).hexdigest().encode()

    def test_both_ways_at_once(self, client: Client, origin: ScriptedOrigin) -> None:
        """An origin that echoes while it reads."""
        rounds = 5

        def script(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(rounds):
                size = int(connection._line(), 16)  # pylint: disable=protected-access
                data = connection._take(size + 2)  # pylint: disable=protected-access
                connection.send(b"%x\r\n" % size + data)
            connection.send(b"0\r\n\r\n")
            connection.close()

        url = origin.route("/x", script, read_body=False)
        feed = Feed().start(as_request(url, method="POST"))
        call = feed.call(client)
        feed.chunk(b"ping 0")
        assert next(call).head.status == 200
        for i in range(rounds):
            assert next(call).chunk == f"ping {i}".encode()
            if i + 1 < rounds:
                feed.chunk(f"ping {i + 1}".encode())
        feed.end()
        assert not tail_of(list(call)).HasField("error")

    def test_cancel_in_the_middle(self, client: Client, origin: ScriptedOrigin) -> None:
        got = threading.Event()

        def script(connection: Connection) -> None:
            got.set()
            connection.read_body()
            connection.reply(b"never sent, for the body never ends")

        url = origin.route("/x", script, read_body=False)
        feed = Feed().start(as_request(url, method="POST")).chunk(b"abc")
        call = feed.call(client)
        assert got.wait(10)
        call.cancel()
        feed.end()
        wait_until(lambda: origin.open_connections() == 0, "the connection is closed")


class TestBadMessages:
    """None of them reaches the origin."""

    def refused(self, client: Client, feed: Feed) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            list(feed.end().call(client))
        return caught.value

    def test_no_message(self, client: Client) -> None:
        violations(self.refused(client, Feed()))

    def test_an_unset_message(self, client: Client) -> None:
        violations(self.refused(client, Feed().message(service_pb.FetchStreamRequest())))

    def test_a_chunk_first(self, client: Client) -> None:
        violations(self.refused(client, Feed().chunk(b"abc")))

    def test_a_malformed_start(self, client: Client) -> None:
        error = self.refused(client, Feed().start(as_request("http://127.0.0.1:1/", method="a b")))
        assert list(violations(error)) == ["start.request.method"]

    def test_body_and_streamed_body(self, client: Client, origin: ScriptedOrigin) -> None:
        request = as_request(origin.url("/"), method="POST", body=b"x")
        assert list(violations(self.refused(client, Feed().start(request)))) == ["start.request.body"]
        assert origin.accepted == 0

    def test_length_without_streamed_body(self, client: Client, origin: ScriptedOrigin) -> None:
        feed = Feed().start(as_request(origin.url("/")), streams_body=False, length=3)
        assert list(violations(self.refused(client, feed))) == ["start.body_length"]
        assert origin.accepted == 0

    def test_a_chunk_that_was_not_announced(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.hold())
        feed = Feed().start(as_request(url), streams_body=False).chunk(b"abc")
        violations(self.refused(client, feed))

    def test_two_starts(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.hold(), read_body=False)
        feed = Feed().start(as_request(url, method="POST")).start(as_request(url, method="POST"))
        violations(self.refused(client, feed))

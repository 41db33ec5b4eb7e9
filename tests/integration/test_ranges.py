"""Ranges: a caller's own pass through; responses that break off are resumed, and never made of two different ones."""

import contextlib
import gzip
import pathlib
import random
import ssl
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from calls import DEADLINE, Client, duration, error_of, header_of, response_of
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from h2_peer import INTERNAL_ERROR, H2Peer, block
from h2_peer import Connection as H2Connection
from real_origins import Certificates, Nginx
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER, wait_until

pytestmark = pytest.mark.usefixtures("quiet")

MIB = 1024 * 1024
RPCS = ["Fetch", "FetchBatch", "FetchStream", "FetchPaged"]


def request_of(url: str, attempts: int = 10, **more: Any) -> pb.FetchRequest:
    request = pb.FetchRequest(url=url, explain=pb.EXPLAIN_FULL, **more)
    request.retry.max_attempts = attempts
    request.retry.initial_backoff.CopyFrom(duration(0.001))
    request.retry.max_backoff.CopyFrom(duration(0.01))
    return request


class Seen:
    """What came of a fetch, whichever RPC made it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Dict[str, bytes] = {}
        self.body = b""
        self.error: Optional[pb.FetchError] = None
        self.attempts = 0
        self.trace = pb.Trace()
        self.resumed: List[int] = []

    def verdicts(self) -> List[str]:
        return [decision.verdict for decision in self.trace.decisions if decision.rule == "resume"]


def fetched(client: Client, rpc: str, request: pb.FetchRequest) -> Seen:
    seen = Seen()
    if rpc == "FetchStream":
        start = service_pb.FetchStreamStart(request=request)
        messages = client.stub.FetchStream(
            iter([service_pb.FetchStreamRequest(start=start)]), timeout=DEADLINE, metadata=client.metadata
        )
        for message in messages:
            kind = message.WhichOneof("message")
            if kind == "head":
                seen.status = message.head.status
                seen.headers = {header.name: header.value for header in message.head.headers}
            elif kind == "chunk":
                seen.body += message.chunk
            elif kind == "resumed":
                assert message.resumed.offset == len(seen.body), "said where it happened"
                seen.resumed.append(message.resumed.offset)
            else:
                seen.error = message.tail.error if message.tail.HasField("error") else None
                seen.attempts, seen.trace = message.tail.attempts, message.tail.trace
                assert message.tail.body_bytes == len(seen.body)
        return seen
    if rpc == "FetchPaged":
        messages = list(client.paged(request, link_header=service_pb.LinkHeaderStrategy()))
        first = messages[0]
        seen.trace = first.trace
        seen.attempts = len(first.trace.attempts)
        if first.WhichOneof("message") == "end":
            seen.error = first.end.error
            take(seen, first.end.error.partial_response)
        else:
            take(seen, first.page.response)
        return seen
    if rpc == "Fetch":
        reply = client.fetch(request)
    else:
        (reply,) = [result.fetch for message in client.batch([request]) for result in message.results]
    seen.attempts, seen.trace = reply.attempts, reply.trace
    if reply.WhichOneof("outcome") == "error":
        seen.error = reply.error
        take(seen, reply.error.partial_response)
    else:
        take(seen, reply.response)
    return seen


def take(seen: Seen, response: pb.HttpResponse) -> None:
    seen.status, seen.body = response.status, response.body
    seen.headers = {header.name: header.value for header in response.headers}


Cut = Callable[[int, int], Optional[int]]


class Store:
    """Serves one resource by ranges, and breaks off where a test says."""

    def __init__(self, origin: ScriptedOrigin, data: bytes, path: str = "/x"):
        self.data, self.etag = data, b'"v1"'
        self.fields: List[bytes] = []
        self.chunked = False
        # Where to break off a response that begins at an offset, by its number from 0: an offset, or None for never.
        self.cut: Cut = lambda number, offset: None
        self.reset = False
        # Instead of the answer to a range that it would give.
        self.answer_range: Optional[Callable[[Connection, int], None]] = None
        self.ranges: List[Optional[bytes]] = []
        self.url = origin.route(path, self.script)

    def script(self, connection: Connection) -> None:
        request = connection.request
        assert request is not None
        number = len(self.ranges)
        asked = request.header("range")
        self.ranges.append(asked)
        offset = 0
        if asked is not None:
            assert asked.startswith(b"bytes=") and asked.endswith(b"-")
            offset = int(asked[6:-1])
            if self.answer_range is not None:
                return self.answer_range(connection, offset)
            if request.header("if-range") != self.etag:
                offset, asked = 0, None
        lines = [b"HTTP/1.1 206 Partial" if asked else b"HTTP/1.1 200 OK", b"etag: " + self.etag, *self.fields]
        if asked:
            lines.append(b"content-range: bytes %d-%d/%d" % (offset, len(self.data) - 1, len(self.data)))
        rest = self.data[offset:]
        stop = self.cut(number, offset)
        sent = rest if stop is None else rest[: max(stop - offset, 0)]
        if self.chunked:
            head = b"\r\n".join([*lines, b"transfer-encoding: chunked"]) + b"\r\n\r\n"
            connection.send(head + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in split(sent)))
            if stop is None:
                connection.send(b"0\r\n\r\n")
        else:
            connection.send(b"\r\n".join([*lines, b"content-length: %d" % len(rest)]) + b"\r\n\r\n" + sent)
        if stop is None:
            return None
        # What was sent must arrive: a reset may overtake it.
        return connection.reset() if self.reset else connection.close()


def split(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def text(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class TestOwnRanges:
    """A caller's Range is sent as it is, and its answer comes back as it is."""

    @pytest.mark.parametrize("rpc", ["Fetch", "FetchBatch", "FetchStream"])
    def test_pass_through(self, client: Client, nginx: Nginx, rpc: str) -> None:
        whole = (nginx.root / "1k").read_bytes()
        for asked, range_sent, part in [
            (b"bytes=5-9", b"bytes 5-9/1024", whole[5:10]),
            (b"bytes=1000-", b"bytes 1000-1023/1024", whole[1000:]),
            (b"bytes=-7", b"bytes 1017-1023/1024", whole[-7:]),
            (b"bytes=0-0", b"bytes 0-0/1024", whole[:1]),
        ]:
            request = request_of(nginx.url("/1k"))
            request.headers.add(name="range", value=asked)
            seen = fetched(client, rpc, request)
            assert (seen.status, seen.headers["content-range"], seen.body) == (206, range_sent, part)
            assert seen.attempts == 1

    def test_unsatisfiable(self, client: Client, nginx: Nginx) -> None:
        reply = client.fetch(nginx.url("/1k"), headers=[("range", b"bytes=2000-")])
        assert header_of(response_of(reply, 416), "content-range") == b"bytes */1024"

    def test_several_parts(self, client: Client, nginx: Nginx) -> None:
        whole = (nginx.root / "1k").read_bytes()
        response = response_of(client.fetch(nginx.url("/1k"), headers=[("range", b"bytes=0-1,10-12")]), 206)
        assert (header_of(response, "content-type") or b"").startswith(b"multipart/byteranges; boundary=")
        assert whole[:2] in response.body and whole[10:13] in response.body

    def test_if_range(self, client: Client, nginx: Nginx) -> None:
        etag = header_of(response_of(client.fetch(nginx.url("/1k"))), "etag")
        assert etag
        headers = [("range", b"bytes=0-3"), ("if-range", etag)]
        assert len(response_of(client.fetch(nginx.url("/1k"), headers=headers), 206).body) == 4
        headers = [("range", b"bytes=0-3"), ("if-range", b'"other"')]
        assert len(response_of(client.fetch(nginx.url("/1k"), headers=headers), 200).body) == 1024

    def test_a_broken_range_is_not_resumed(self, client: Client, origin: ScriptedOrigin) -> None:
        data = b"HTTP/1.1 206 P\r\netag: \"v1\"\r\ncontent-range: bytes 0-9/10\r\ncontent-length: 10\r\n\r\n12345"
        url = origin.raw("/x", data)
        request = request_of(url)
        request.headers.add(name="range", value=b"bytes=0-")
        seen = fetched(client, "Fetch", request)
        assert seen.error is not None and seen.error.code == pb.HTTP_RESPONSE_INCOMPLETE
        assert (seen.body, seen.attempts, origin.count("/x")) == (b"12345", 1, 1)
        # Nor if the origin takes no notice of the range.
        whole = b"HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 10\r\n\r\n12345"
        request.url = origin.raw("/y", whole)
        seen = fetched(client, "Fetch", request)
        assert seen.verdicts() == ["own_range"] and origin.count("/y") == 1


class TestResume:
    @pytest.mark.parametrize("rpc", RPCS)
    @pytest.mark.parametrize("chunked", [False, True])
    def test_cut_at_random(self, client: Client, origin: ScriptedOrigin, rpc: str, chunked: bool) -> None:
        chance = random.Random(f"{rpc} {chunked}")
        store = Store(origin, text(400_000))
        store.chunked = chunked
        for _ in range(5):
            store.ranges.clear()
            cuts = sorted(chance.randrange(len(store.data)) for _ in range(3))
            store.cut = lambda number, offset, cuts=cuts: cuts[number] if number < len(cuts) else None  # type: ignore
            seen = fetched(client, rpc, request_of(store.url))
            assert seen.error is None, (cuts, seen.error)
            assert seen.status == 200 and seen.body == store.data
            assert store.ranges == [None] + [b"bytes=%d-" % cut for cut in cuts]
            assert seen.attempts == 4
            assert seen.verdicts() == ["resume", "resumed"] * 3
            assert [(a.number, a.status) for a in seen.trace.attempts] == [(1, 200), (2, 206), (3, 206), (4, 206)]
            assert [a.error for a in seen.trace.attempts] == [pb.HTTP_RESPONSE_INCOMPLETE] * 3 + [0]
            if rpc == "FetchStream":
                assert seen.resumed == cuts

    def test_cut_by_reset_and_by_silence(self, client: Client, origin: ScriptedOrigin) -> None:
        store = Store(origin, text(200_000))
        store.reset = True
        store.cut = lambda number, offset: 100_000 if number == 0 else None
        seen = fetched(client, "FetchStream", request_of(store.url))
        assert seen.error is None and seen.body == store.data and len(store.ranges) == 2

        def silent(connection: Connection) -> None:
            if connection.request.header("range"):  # type: ignore[union-attr]
                return store.script(connection)
            connection.send(b'HTTP/1.1 200 OK\r\netag: "v1"\r\ncontent-length: 200000\r\n\r\n' + store.data[:1000])
            return connection.hold()

        for timeout in ("between_bytes", "attempt"):
            request = request_of(origin.route("/silent", silent))
            getattr(request.timeouts, timeout).CopyFrom(duration(0.2))
            seen = fetched(client, "Fetch", request)
            assert seen.error is None and seen.body == store.data, timeout
            assert seen.attempts == 2

    def test_an_origin_that_is_gone_for_a_while(self, client: Client, origin: ScriptedOrigin) -> None:
        """Attempts before the rest begins are retries like any others: here of a 503."""
        store = Store(origin, text(50_000))

        def script(connection: Connection) -> None:
            count = origin.count("/busy")
            if count == 1:
                connection.send(b'HTTP/1.1 200 OK\r\netag: "v1"\r\ncontent-length: 50000\r\n\r\n' + store.data[:777])
                return connection.close()
            return connection.reply(b"busy", 503) if count < 4 else store.script(connection)

        seen = fetched(client, "FetchStream", request_of(origin.route("/busy", script)))
        assert seen.error is None and seen.body == store.data
        assert seen.resumed == [777] and seen.attempts == 4
        assert [attempt.status for attempt in seen.trace.attempts] == [200, 503, 503, 206]

    def test_attempts_bound_it(self, client: Client, origin: ScriptedOrigin, fetchd: Fetchd) -> None:
        store = Store(origin, text(10_000))
        store.cut = lambda number, offset: offset + 1000
        before = fetchd.metric("fetchd_resumes_total")
        seen = fetched(client, "FetchStream", request_of(store.url, attempts=4))
        assert seen.error is not None and seen.error.code == pb.HTTP_RESPONSE_INCOMPLETE
        assert "not resumed: no_attempts_left" in seen.error.message
        assert seen.body == store.data[:4000] and seen.resumed == [1000, 2000, 3000]
        assert fetchd.metric("fetchd_resumes_total") == before + 3

    def test_a_stream_with_no_credit_is_resumed_too(
        self, client: Client, origin: ScriptedOrigin, fetchd: Fetchd
    ) -> None:
        store = Store(origin, text(24 * MIB))
        store.cut = lambda number, offset: offset + len(store.data) // 3
        call = client.stream(request_of(store.url))
        chunks = call.chunks()
        body = next(chunks)
        # Nobody reads, so the origin has to stop: what it could send is in the buffers on the way.
        wait_until(lambda: fetchd.metric("fetchd_buffered_bytes") > 0, "a piece waits")
        body += b"".join(chunks)
        third = len(store.data) // 3
        assert body == store.data
        assert call.resumed == [third, 2 * third] and call.tail is not None and call.tail.attempts == 3

    def test_compressed_bytes_are_counted_as_they_are_sent(self, client: Client, origin: ScriptedOrigin) -> None:
        store = Store(origin, text(100_000))
        store.fields = [b"content-encoding: x-own"]
        store.cut = lambda number, offset: offset + 40_000 if number < 2 else None
        request = request_of(store.url)
        request.headers.add(name="accept-encoding", value=b"x-own")
        seen = fetched(client, "Fetch", request)
        assert seen.error is None and seen.body == store.data and seen.attempts == 3

    @pytest.mark.parametrize("rpc", ["Fetch", "FetchBatch"])
    def test_what_is_decoded(self, client: Client, origin: ScriptedOrigin, rpc: str) -> None:
        """Its decoder goes on where it was, and the limit is on what it makes: here less than is sent."""
        plain = text(100_000)
        store = Store(origin, gzip.compress(plain))
        assert len(store.data) > len(plain)
        store.fields = [b"content-encoding: gzip"]
        store.cut = lambda number, offset: offset + 40_000 if number < 2 else None
        request = request_of(store.url)
        request.body_policy.max_bytes = len(plain)
        seen = fetched(client, rpc, request)
        assert seen.error is None and seen.body == plain and seen.attempts == 3
        assert store.ranges == [None, b"bytes=40000-", b"bytes=80000-"]
        call = client.stream(request_of(store.url))
        assert call.read() == plain
        store.ranges.clear()
        request.body_policy.max_bytes -= 1
        seen = fetched(client, rpc, request)
        assert seen.error is not None and seen.error.code == pb.HTTP_RESPONSE_BODY_SIZE

    @pytest.mark.parametrize("rpc", RPCS)
    def test_over_http_2(self, client: Client, rpc: str) -> None:
        """The origin resets the stream, then it closes the connection, then it says by GOAWAY that it ends."""
        data = text(160_000)
        cuts = [0, 50_000, 90_001, 120_000, len(data)]
        peer = H2Peer()

        def script(connection: H2Connection, stream: int) -> None:
            number = peer.played - 1
            first, end = cuts[number], cuts[number + 1]
            fields = [(b"etag", b'"v1"'), (b"content-length", b"%d" % (len(data) - first))]
            if first > 0:
                fields.append((b"content-range", b"bytes %d-%d/%d" % (first, len(data) - 1, len(data))))
            connection.headers(stream, block(fields, b"206" if first else b"200"))
            for at in range(first, end, 16_384):
                part = data[at : min(at + 16_384, end)]
                connection.data(stream, part, at + len(part) == len(data))
            if number == 0:
                connection.reset(stream, INTERNAL_ERROR)
            elif number == 1:
                connection.close()
            elif number == 2:
                connection.goaway(stream, INTERNAL_ERROR)
                connection.close()

        peer.script = script
        try:
            request = request_of(peer.url())
            request.transport.http_version = pb.HTTP_VERSION_HTTP_2
            seen = fetched(client, rpc, request)
            assert seen.error is None, seen.error
            assert seen.body == data and seen.attempts == 4
            assert seen.verdicts() == ["resume", "resumed"] * 3
            assert [a.error for a in seen.trace.attempts][0] == pb.HTTP2_STREAM_RESET
            if rpc == "FetchStream":
                assert seen.resumed == cuts[1:4]
        finally:
            peer.stop()

    def test_tls_cut_without_close_notify(self, client: Client, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
        origin = ScriptedOrigin(tls=context)
        try:
            store = Store(origin, text(100_000))
            store.cut = lambda number, offset: 60_000 if number == 0 else None
            seen = fetched(client, "FetchStream", request_of(store.url))
            assert seen.error is None and seen.body == store.data and seen.resumed == [60_000]
            assert [a.error for a in seen.trace.attempts] == [pb.TLS_TRUNCATED, 0]
        finally:
            origin.stop()


class TestNotResumed:
    def partial(self, client: Client, request: pb.FetchRequest, attempts: int, verdicts: List[str]) -> Seen:
        seen = fetched(client, "FetchStream", request)
        assert seen.error is not None and seen.error.code == pb.HTTP_RESPONSE_INCOMPLETE, seen.error
        assert seen.status == 200 and seen.attempts == attempts and seen.verdicts() == verdicts
        assert seen.resumed == []
        return seen

    @pytest.mark.parametrize(
        "fields,verdicts",
        [
            ([], ["no_validator"]),
            ([b'etag: W/"v1"'], ["no_validator"]),
            ([b"etag: v1"], ["no_validator"]),
            ([b"last-modified: Mon, 01 Jan 2024 00:00:00 GMT"], ["no_validator"]),
            ([b'etag: "v1"', b"accept-ranges: none"], ["no_validator"]),
            ([b'etag: "v1"', b'etag: "v2"'], ["no_validator"]),
        ],
    )
    def test_without_a_strong_validator(
        self, client: Client, origin: ScriptedOrigin, fields: List[bytes], verdicts: List[str]
    ) -> None:
        head = b"\r\n".join([b"HTTP/1.1 200 OK", b"content-length: 10", *fields]) + b"\r\n\r\n"
        url = origin.raw("/x", head + b"12345")
        assert self.partial(client, request_of(url), 1, verdicts).body == b"12345"
        assert origin.count("/x") == 1

    def test_switched_off(self, client: Client, origin: ScriptedOrigin, start_fetchd: Any) -> None:
        store = Store(origin, text(1000))
        store.cut = lambda number, offset: 500
        request = request_of(store.url)
        request.retry.resume = False
        self.partial(client, request, 1, [])
        self.partial(client, request_of(store.url, attempts=1), 1, [])
        other = start_fetchd(retry={"resume": False})
        off = Client(other.channel())
        self.partial(off, request_of(store.url), 1, [])
        store.ranges.clear()
        store.cut = lambda number, offset: 500 if number == 0 else None
        request.retry.resume = True
        assert fetched(off, "Fetch", request).body == store.data

    @pytest.mark.parametrize("rpc", RPCS)
    def test_a_resource_that_changed(self, client: Client, origin: ScriptedOrigin, rpc: str) -> None:
        """The origin heeds If-Range and sends all of the new one; nothing of it may be taken."""
        store = Store(origin, text(100_000))

        def cut(number: int, offset: int) -> Optional[int]:
            if number > 0:
                return None
            store.data, store.etag = text(100_000, seed=2), b'"v2"'
            return 30_000

        store.cut = cut
        old = store.data
        seen = fetched(client, rpc, request_of(store.url))
        assert seen.error is not None and seen.error.code == pb.HTTP_RESPONSE_INCOMPLETE
        assert "another response by now" in seen.error.message
        assert seen.body == old[:30_000] and seen.status == 200
        assert seen.verdicts() == ["resume", "changed"]
        assert seen.trace.attempts[1].error == pb.RESUME_MISMATCH
        assert store.ranges == [None, b"bytes=30000-"]

    @pytest.mark.parametrize(
        "name,verdict,lines",
        [
            ("other etag", "changed", [b'etag: "v2"', b"content-range: bytes 300-999/1000"]),
            ("no etag", "mismatch", [b"content-range: bytes 300-999/1000"]),
            ("weak etag", "changed", [b'etag: W/"v1"', b"content-range: bytes 300-999/1000"]),
            ("no range", "mismatch", [b'etag: "v1"']),
            ("from the start", "mismatch", [b'etag: "v1"', b"content-range: bytes 0-999/1000"]),
            ("a byte early", "mismatch", [b'etag: "v1"', b"content-range: bytes 299-999/1000"]),
            ("a byte late", "mismatch", [b'etag: "v1"', b"content-range: bytes 301-999/1000"]),
            ("not to the end", "mismatch", [b'etag: "v1"', b"content-range: bytes 300-998/1000"]),
            ("no total", "mismatch", [b'etag: "v1"', b"content-range: bytes 300-999/*"]),
            ("other total", "changed", [b'etag: "v1"', b"content-range: bytes 300-1999/2000"]),
            ("other unit", "mismatch", [b'etag: "v1"', b"content-range: lines 300-999/1000"]),
            ("nonsense", "mismatch", [b'etag: "v1"', b"content-range: bytes 999-300/1000"]),
            ("two ranges", "mismatch", [b'etag: "v1"'] + [b"content-range: bytes 300-999/1000"] * 2),
            ("other coding", "mismatch", [b'etag: "v1"', b"content-range: bytes 300-999/1000", b"content-encoding: x-b"]),
            ("parts", "mismatch", [b'etag: "v1"', b"content-type: multipart/byteranges; boundary=b"]),
        ],
    )
    def test_an_origin_that_lies(
        self, client: Client, origin: ScriptedOrigin, name: str, verdict: str, lines: List[bytes]
    ) -> None:
        store = Store(origin, text(1000))
        store.cut = lambda number, offset: 300

        def lie(connection: Connection, offset: int) -> None:
            assert offset == 300, name
            connection.send(b"\r\n".join([b"HTTP/1.1 206 Partial", b"content-length: 700", *lines]) + b"\r\n\r\n")
            connection.send(b"#" * 700)

        store.answer_range = lie
        assert self.partial(client, request_of(store.url), 2, ["resume", verdict]).body == store.data[:300]

    @pytest.mark.parametrize("status", [200, 204, 304, 404, 416])
    def test_another_status(self, client: Client, origin: ScriptedOrigin, status: int) -> None:
        store = Store(origin, text(1000))
        store.cut = lambda number, offset: 300
        body = b"" if status in (204, 304) else b"#" * 1000

        def other(connection: Connection, offset: int) -> None:
            connection.reply(body, status, (("etag", '"v1"'),)) if body else connection.send(
                b'HTTP/1.1 %d None\r\netag: "v1"\r\n\r\n' % status
            )

        store.answer_range = other
        verdict = "changed" if status == 200 else "mismatch"
        assert self.partial(client, request_of(store.url), 2, ["resume", verdict]).body == store.data[:300]

    def test_more_than_was_said(self, client: Client, origin: ScriptedOrigin) -> None:
        store = Store(origin, text(1000))
        store.cut = lambda number, offset: 300

        def more(connection: Connection, offset: int) -> None:
            lines = [b"HTTP/1.1 206 P", b'etag: "v1"', b"content-range: bytes 300-999/1000", b"transfer-encoding: chunked"]
            connection.send(b"\r\n".join(lines) + b"\r\n\r\n2bd\r\n" + store.data[300:] + b"#\r\n0\r\n\r\n")

        store.answer_range = more
        seen = fetched(client, "FetchStream", request_of(store.url))
        assert seen.error is not None and seen.error.code == pb.HTTP_RESPONSE_INCOMPLETE
        assert store.data.startswith(seen.body)

    def test_a_cancel_while_it_waits_for_the_rest(self, client: Client, origin: ScriptedOrigin) -> None:
        store = Store(origin, text(1000))
        store.cut = lambda number, offset: 300
        asked = threading.Event()

        def hang(connection: Connection, offset: int) -> None:
            asked.set()
            connection.hold()

        store.answer_range = hang
        call = client.stream(request_of(store.url))
        assert next(call.chunks()) == store.data[:300]
        assert asked.wait(10)
        call.call.cancel()
        wait_until(lambda: origin.open_connections() == 0, "the connection is closed")

    def test_a_deadline_while_it_waits_for_the_rest(self, client: Client, origin: ScriptedOrigin) -> None:
        store = Store(origin, text(1000))
        store.cut = lambda number, offset: 300
        store.answer_range = lambda connection, offset: connection.hold()
        request = request_of(store.url)
        request.timeouts.total.CopyFrom(duration(0.5))
        error = error_of(client.fetch(request), pb.TOTAL_TIMEOUT)
        assert error.partial_response.body == store.data[:300]
        assert "before that" in error.message


@contextlib.contextmanager
def own_nginx(directory: pathlib.Path, certificates: Certificates) -> Iterator[Nginx]:
    server = Nginx(directory, certificates).start()
    try:
        yield server
    finally:
        server.stop()


def test_nginx_is_killed_and_started_again(
    client: Client, tmp_path: pathlib.Path, certificates: Certificates, fetchd: Fetchd
) -> None:
    size = (16 if SANITIZER else 64) * MIB
    with own_nginx(tmp_path / "nginx", certificates) as server:
        data = text(size)
        (server.root / "big").write_bytes(data)
        call = client.stream(request_of(server.url("/big")))
        seen: List[Tuple[str, int]] = []
        body = bytearray()
        killed = False
        for message in call.call:
            kind = message.WhichOneof("message")
            if kind == "chunk":
                body += message.chunk
            if kind == "resumed":
                seen.append((kind, message.resumed.offset))
                assert message.resumed.offset == len(body)
            if kind == "tail":
                assert not message.tail.HasField("error"), message.tail.error
                assert [attempt.status for attempt in message.tail.trace.attempts][-1] == 206
            if kind == "chunk" and not killed:
                # The rest is in nobody's buffers: the file is larger than all of them.
                killed = True
                server.kill_and_restart()
        assert killed and len(seen) == 1 and 0 < seen[0][1] < size
        assert bytes(body) == data

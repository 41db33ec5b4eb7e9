"""One test for each timeout: its code, its phase, what it says of the origin, and when it strikes."""

import socket
import threading
import time
from typing import Any, Iterator

import grpc
import pytest
from calls import Client, as_request, error_of, response_of
from dns_server import DnsServer
from fetchd.v1 import fetch_pb2 as pb
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.usefixtures("quiet")

# A timeout under test, in seconds: long enough for a busy machine to get to the phase it belongs to.
SHORT = 0.4 * SLOWNESS


class Stopwatch:
    """Checks that what happens inside takes at least `least` seconds and not much more."""

    def __init__(self, least: float, most: float = 0):
        self.least, self.most = least, most or least + 3 * SLOWNESS

    def __enter__(self) -> "Stopwatch":
        self.start = time.monotonic()
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            took = time.monotonic() - self.start
            assert self.least * 0.95 <= took <= self.most, f"took {took:.3f} s"


def hold(connection: Connection) -> None:
    """Never answers."""
    connection.hold()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A loopback port whose queue of connections is full: the kernel drops every further SYN."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    held = []
    for _ in range(16):
        filler = socket.socket()
        held.append(filler)
        filler.settimeout(0.3)
        try:
            filler.connect(listener.getsockname())
        except TimeoutError:
            break
    else:
        pytest.fail("the queue of a listener with backlog 0 does not fill up")
    yield listener.getsockname()[1]
    for sock in [*held, listener]:
        sock.close()


def test_dns(client: Client, dns: DnsServer) -> None:
    dns.silent.add("silent.test")
    with Stopwatch(SHORT):
        reply = client.fetch("http://silent.test/", attempts=1, dns=SHORT)
    error = error_of(reply, pb.DNS_TIMEOUT, pb.PHASE_DNS)
    assert (error.processed, error.retryable) == (pb.PROCESSED_NO, True)
    assert dns.asked("silent.test") > 0


def test_connect(client: Client, black_hole: int) -> None:
    with Stopwatch(SHORT):
        reply = client.fetch(f"http://127.0.0.1:{black_hole}/", attempts=1, connect=SHORT)
    error = error_of(reply, pb.CONNECTION_TIMEOUT, pb.PHASE_CONNECT)
    assert (error.processed, error.retryable) == (pb.PROCESSED_NO, True)


def test_tls(client: Client, origin: ScriptedOrigin) -> None:
    origin.on_accept = hold
    with Stopwatch(SHORT):
        reply = client.fetch(origin.url("/").replace("http:", "https:"), attempts=1, tls=SHORT)
    error = error_of(reply, pb.TLS_TIMEOUT, pb.PHASE_TLS)
    assert (error.processed, error.retryable) == (pb.PROCESSED_NO, True)


def test_send_idle(client: Client) -> None:
    origin = ScriptedOrigin(receive_buffer=4096)
    try:
        url = origin.route("/x", lambda connection: threading.Event.wait(connection.origin.stopping, 30), read_body=False)
        piece = b"x" * 65536
        call = client.upload(url, (piece for _ in range(1024)), method="PUT", attempts=1, send_idle=SHORT)
        with Stopwatch(SHORT):
            assert call.read() == b""
        assert call.head is None and call.tail is not None
        assert call.tail.error.code == pb.CONNECTION_WRITE_TIMEOUT
        assert call.tail.error.phase == pb.PHASE_SEND
        assert call.tail.error.processed == pb.PROCESSED_MAYBE
    finally:
        origin.stop()


def test_first_byte(client: Client, origin: ScriptedOrigin) -> None:
    with Stopwatch(SHORT):
        reply = client.fetch(origin.route("/x", hold), attempts=1, first_byte=SHORT)
    error = error_of(reply, pb.HTTP_RESPONSE_TIMEOUT, pb.PHASE_WAIT)
    assert (error.processed, error.retryable) == (pb.PROCESSED_MAYBE, True)
    assert not error.HasField("partial_response")
    # The connection is not kept.
    wait_until(lambda: origin.open_connections() == 0, "the origin sees the connection closed")


def test_first_byte_is_not_met_by_interim_responses(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        connection.hold()

    error_of(client.fetch(origin.route("/x", script), attempts=1, first_byte=SHORT), pb.HTTP_RESPONSE_TIMEOUT)


@pytest.mark.parametrize("part", ["head", "body", "chunk"])
def test_between_bytes(client: Client, origin: ScriptedOrigin, part: str) -> None:
    data = {
        "head": b"HTTP/1.1 200 OK\r\nx: y",
        "body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc",
    }[part]
    with Stopwatch(SHORT):
        reply = client.fetch(origin.raw("/x", data, "hold"), attempts=1, between_bytes=SHORT)
    error = error_of(reply, pb.CONNECTION_READ_TIMEOUT, pb.PHASE_RECEIVE)
    assert (error.processed, error.retryable) == (pb.PROCESSED_YES, True)
    assert error.partial_response.body == (b"" if part == "head" else b"abc")


def test_between_bytes_is_not_the_time_of_the_whole_body(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n")
        connection.drip(b"x" * 20, SHORT / 8)

    response_of(client.fetch(origin.route("/x", script), between_bytes=SHORT))


def test_between_bytes_does_not_count_the_callers_pauses(client: Client, nginx: Any) -> None:
    url = nginx.sparse("64m", 64 * 1024 * 1024)
    call = client.stream(url, between_bytes=SHORT)
    chunks = call.chunks()
    size = len(next(chunks))
    # The caller takes nothing for longer than the timeout.
    threading.Event().wait(SHORT * 3)
    size += sum(map(len, chunks))
    assert call.tail is not None and not call.tail.HasField("error")
    assert size == 64 * 1024 * 1024


def test_queue(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    narrow: Fetchd = start_fetchd(pool={"max_connections_per_origin": 1})
    client = Client(narrow.channel())
    release = threading.Event()

    def script(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"ok")

    url = origin.route("/x", script)
    first = client.fetch_later(url)
    wait_until(lambda: origin.count("/x") == 1, "the first is at the origin")
    with Stopwatch(SHORT):
        reply = client.fetch(url, attempts=1, queue=SHORT)
    error = error_of(reply, pb.QUEUE_TIMEOUT, pb.PHASE_QUEUE)
    assert (error.processed, error.retryable) == (pb.PROCESSED_NO, True)
    # First come, first served, as soon as the connection is back.
    waiting = client.fetch_later(url, queue=30)
    wait_until(lambda: narrow.metric("fetchd_queue_waiting") == 1, "one waits")
    release.set()
    response_of(first.result())
    response_of(waiting.result())
    assert origin.accepted == 1


def test_full_queue(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    narrow: Fetchd = start_fetchd(pool={"max_connections_per_origin": 1, "max_queue_per_origin": 1})
    client = Client(narrow.channel())
    release = threading.Event()

    def script(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"ok")

    url = origin.route("/x", script)
    calls = [client.fetch_later(url)]
    wait_until(lambda: origin.count("/x") == 1, "the first is at the origin")
    calls.append(client.fetch_later(url))
    wait_until(lambda: narrow.metric("fetchd_queue_waiting") == 1, "the second waits")
    error = error_of(client.fetch(url, attempts=1), pb.CONNECTION_LIMIT_REACHED, pb.PHASE_QUEUE)
    assert (error.processed, error.retryable) == (pb.PROCESSED_NO, True)
    release.set()
    for call in calls:
        response_of(call.result())


@pytest.mark.parametrize(
    "phase,data",
    [
        (pb.PHASE_WAIT, b""),
        (pb.PHASE_RECEIVE, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
    ],
)
def test_attempt(client: Client, origin: ScriptedOrigin, phase: int, data: bytes) -> None:
    with Stopwatch(SHORT):
        reply = client.fetch(origin.raw("/x", data, "hold"), attempts=1, attempt=SHORT)
    error_of(reply, pb.ATTEMPT_TIMEOUT, phase)


def test_attempts_that_time_out_are_followed_by_others(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        if origin.count("/x") < 3:
            connection.hold()
        connection.reply(b"third")

    reply = client.fetch(origin.route("/x", script), attempt=SHORT)
    assert response_of(reply).body == b"third"
    assert reply.attempts == 3


@pytest.mark.parametrize(
    "phase,data",
    [
        (pb.PHASE_WAIT, b""),
        (pb.PHASE_RECEIVE, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
    ],
)
def test_total(client: Client, origin: ScriptedOrigin, phase: int, data: bytes) -> None:
    with Stopwatch(SHORT):
        reply = client.fetch(origin.raw("/x", data, "hold"), total=SHORT)
    error = error_of(reply, pb.TOTAL_TIMEOUT, phase)
    assert error.partial_response.body == (b"abc" if data else b"")


def test_total_in_dns_connect_and_tls(client: Client, dns: DnsServer, black_hole: int, origin: ScriptedOrigin) -> None:
    dns.silent.add("silent2.test")
    origin.on_accept = hold
    for url, phase in [
        ("http://silent2.test/", pb.PHASE_DNS),
        (f"http://127.0.0.1:{black_hole}/", pb.PHASE_CONNECT),
        (origin.url("/").replace("http:", "https:"), pb.PHASE_TLS),
    ]:
        error = error_of(client.fetch(url, total=SHORT), pb.TOTAL_TIMEOUT, phase)
        assert error.processed == pb.PROCESSED_NO


def test_total_covers_all_attempts(client: Client, origin: ScriptedOrigin) -> None:
    # It may end early: a wait that leaves no time for another attempt is not begun.
    with Stopwatch(SHORT, SHORT * 2 + 0.2):
        reply = client.fetch(origin.route("/x", hold), attempts=10, attempt=SHORT / 2, total=SHORT * 2)
    assert reply.error.code in (pb.TOTAL_TIMEOUT, pb.ATTEMPT_TIMEOUT)
    assert 2 <= reply.attempts <= 4


def test_min_rate(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        connection.drip(b"x" * 100_000, 0.05)

    with Stopwatch(5):
        reply = client.fetch(origin.route("/x", script), attempts=1, attempt=30, min_bytes_per_second=1000)
    error = error_of(reply, pb.MIN_RATE_TIMEOUT, pb.PHASE_RECEIVE)
    assert (error.processed, error.retryable) == (pb.PROCESSED_YES, True)
    assert 10 < len(error.partial_response.body) < 5000


@pytest.mark.parametrize("deadline", [0.5 * SLOWNESS, 2.0 * SLOWNESS])
def test_rpc_deadline_is_answered_in_band_before_it_strikes(client: Client, origin: ScriptedOrigin, deadline: float):
    url = origin.route("/x", hold)
    margin = min(0.05, deadline * 0.05)
    with Stopwatch(deadline - 3 * margin, deadline):
        reply = client.fetch(url, deadline=deadline, attempts=1)
    error_of(reply, pb.TOTAL_TIMEOUT, pb.PHASE_WAIT)


def test_rpc_deadline_of_a_stream(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.raw("/x", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "hold")
    call = client.stream(url, deadline=SHORT * 2)
    assert call.read() == b"abc"
    assert call.tail is not None
    assert (call.tail.error.code, call.tail.error.phase) == (pb.TOTAL_TIMEOUT, pb.PHASE_RECEIVE)


def test_rpc_deadline_of_a_batch(client: Client, origin: ScriptedOrigin) -> None:
    """Items begun and not begun all have a result before the deadline."""
    good = origin.route("/good", lambda connection: connection.reply(b"ok"))
    slow = origin.route("/slow", hold)
    requests = [as_request(good, attempts=1)] + [as_request(slow, attempts=1) for _ in range(5)]
    results = {
        result.index: result.fetch
        for message in client.batch(requests, deadline=SHORT * 2, max_concurrency=3)
        for result in message.results
    }
    assert sorted(results) == list(range(6))
    response_of(results[0])
    for index in range(1, 6):
        error_of(results[index], pb.TOTAL_TIMEOUT)


def test_the_server_caps_what_requests_ask_for(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    capped: Fetchd = start_fetchd(
        timeouts={
            "default": {"first_byte": "150ms", "attempt": "300ms", "total": "500ms"},
            "cap": {"first_byte": "200ms", "attempt": "400ms", "total": "600ms"},
        }
    )
    client = Client(capped.channel())
    url = origin.route("/x", hold)
    for timeouts in ({}, {"first_byte": 20.0}):
        with Stopwatch(0.2 if timeouts else 0.15):
            error_of(client.fetch(url, attempts=1, **timeouts), pb.HTTP_RESPONSE_TIMEOUT)


def test_deadline_of_nothing_ends_at_once(client: Client, origin: ScriptedOrigin, quiet: None) -> None:
    """gRPC rounds deadlines up to milliseconds, so fetchd may or may not come to an answer of its own."""
    url = origin.route("/x", hold)
    with Stopwatch(0):
        try:
            error_of(client.fetch(url, deadline=0), pb.TOTAL_TIMEOUT)
        except grpc.RpcError as caught:
            assert caught.code() == grpc.StatusCode.DEADLINE_EXCEEDED

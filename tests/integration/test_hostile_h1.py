"""Every reply of the hostile HTTP/1 origin ends with the verdict written beside it, and harms nobody else."""

import ssl
import time
from typing import Any, Dict, Iterator, List

import pytest
from calls import Client, checked_error, error_of, response_of
from fetchd.v1 import fetch_pb2 as pb
from hostile_h1 import CHUNKED, END, GOOD, MIB, OK, REPLIES, TLS_REPLIES, Reply
from scripted_origin import Connection, Gone, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER, SLOWNESS, wait_until

# Nothing ends by these but what stalls.
TIMEOUTS = {"first_byte": 0.5 * SLOWNESS, "between_bytes": 0.5 * SLOWNESS, "total": 10 * SLOWNESS}


@pytest.fixture(scope="module")
def fetchd(start_fetchd: Any) -> Fetchd:
    """Without a breaker, which would soon leave an origin alone that behaves like this one."""
    return start_fetchd(breaker={"enabled": False})


@pytest.fixture(scope="module")
def client(fetchd: Fetchd) -> Client:
    """Calls the server of this file."""
    return Client(fetchd.channel())


def play(connection: Connection, reply: Reply) -> None:
    """Sends a reply and does what comes then."""
    connection.send(reply.data)
    if reply.then == "hold":
        connection.hold()
    elif reply.then == "close_notify":
        try:
            connection.sock.unwrap()  # type: ignore[attr-defined]
        except OSError:
            pass
        connection.close()
    elif reply.then != "keep":
        getattr(connection, reply.then)()


class HostileOrigin(ScriptedOrigin):
    """Plays each reply at a path of its name, and a good one at /good."""

    def __init__(self, replies: List[Reply], **more: Any):
        super().__init__(**more)
        self.route("/good", lambda connection: connection.reply(b"good"))
        for reply in replies:
            self.route(f"/{reply.name}", lambda connection, reply=reply: play(connection, reply))

    def connections_of(self, path: str) -> List[int]:
        """Numbers of the connections on which a path was asked for."""
        return [request.connection for request in list(self.requests) if request.target == path]


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileOrigin]:
    """One origin for all replies, so that poison would reach the next fetch."""
    server = HostileOrigin(REPLIES)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hostile_tls(certificates: Any) -> Iterator[HostileOrigin]:
    """The same over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
    server = HostileOrigin(TLS_REPLIES, tls=context)
    yield server
    server.stop()


def check(client: Client, origin: HostileOrigin, reply: Reply) -> None:
    """One fetch of a reply on a connection that served before, and clean ones after it."""
    verdict, path = reply.verdict, f"/{reply.name}"
    assert response_of(client.fetch(origin.url("/good"))).body == b"good"
    start = time.monotonic()
    got = client.fetch(origin.url(path), method=reply.method, attempts=1, **TIMEOUTS)
    assert time.monotonic() - start < 5 * SLOWNESS, "it hung"
    if verdict.good:
        assert response_of(got, verdict.status).body == verdict.body
    else:
        error = error_of(got, verdict.code, verdict.phase)
        assert error.processed == verdict.processed
    # A broken response is not asked for again; a reused connection that died without one is replaced once.
    assert got.attempts == (2 if verdict.code == pb.CONNECTION_TERMINATED and not reply.data else 1)
    for _ in range(2):
        assert response_of(client.fetch(origin.url("/good"))).body == b"good"
    dirty = reply.name.startswith(("after_", "tls_after_", "close_said", "http_1_0_not"))
    clean = verdict.good and reply.then == "keep" and not dirty
    last = origin.connections_of(path)[-1]
    after = [request.connection for request in list(origin.requests)[-2:]]
    assert (last in after) == clean, "a dirty connection was used again" if last in after else "a clean one was not"


def test_the_table_is_large_and_its_names_are_unique() -> None:
    names = [reply.name for reply in REPLIES + TLS_REPLIES]
    assert len(names) == len(set(names))
    assert len(names) >= 150


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.name)
def test_reply(client: Client, hostile: HostileOrigin, reply: Reply) -> None:
    check(client, hostile, reply)


@pytest.mark.parametrize("reply", TLS_REPLIES, ids=lambda reply: reply.name)
def test_reply_over_tls(client: Client, hostile_tls: HostileOrigin, reply: Reply) -> None:
    check(client, hostile_tls, reply)


@pytest.mark.parametrize("reply", REPLIES + TLS_REPLIES, ids=lambda reply: reply.name)
def test_reply_to_a_stream(
    client: Client, hostile: HostileOrigin, hostile_tls: HostileOrigin, reply: Reply
) -> None:
    if reply.verdict.code == pb.HTTP_RESPONSE_BODY_SIZE:
        pytest.skip("a stream has no limit")
    origin = hostile_tls if reply in TLS_REPLIES else hostile
    call = client.stream(origin.url(f"/{reply.name}"), method=reply.method, attempts=1, **TIMEOUTS)
    body = call.read()
    assert call.tail is not None and call.tail.body_bytes == len(body)
    if reply.verdict.good:
        assert (body, call.tail.HasField("error")) == (reply.verdict.body, False)
        assert call.head is not None and call.head.status == reply.verdict.status
    else:
        error = checked_error(call.tail.error, reply.verdict.code, reply.verdict.phase)
        assert error.processed == reply.verdict.processed
    assert response_of(client.fetch(origin.url("/good"))).body == b"good"


SPLIT: Dict[str, Any] = {
    "chunked": (CHUNKED + b'2;x="y"\r\nok\r\n0\r\nx: y\r\n\r\n', b"ok"),
    "interim": (b"HTTP/1.1 103 E\r\nlink: </a>\r\n\r\n" + GOOD, b"ok"),
    "conflict": (OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n", pb.HTTP_FRAMING_CONFLICT),
    "chunk": (CHUNKED + b"2\r\nokX\r\n" + END, pb.HTTP_CHUNK_INVALID),
    "folded": (OK + b"x: y\r\n z\r\n\r\n", pb.HTTP_HEADER_FOLDED),
}


@pytest.mark.parametrize("name", SPLIT)
def test_a_split_changes_nothing(client: Client, hostile: HostileOrigin, name: str) -> None:
    """Cut at every byte, in two segments."""
    data, expected = SPLIT[name]

    def script(connection: Connection) -> None:
        assert connection.request is not None
        at = int(connection.request.target.partition("?")[2])
        connection.drip(data[:at], 0.002, at)
        connection.send(data[at:])
        if not isinstance(expected, bytes):
            connection.hold()

    url = hostile.route(f"/split_{name}", script)
    calls = [client.fetch_later(f"{url}?{at}", attempts=1, total=20) for at in range(1, len(data))]
    for call in calls:
        if isinstance(expected, bytes):
            assert response_of(call.result()).body == expected
        else:
            error_of(call.result(), expected, pb.PHASE_RECEIVE)


def test_what_comes_before_the_request_is_no_answer_to_it(client: Client) -> None:
    origin = ScriptedOrigin()

    def script(connection: Connection) -> None:
        connection.send(OK + b"connection: close\r\ncontent-length: 4\r\n\r\nevil")
        try:
            connection.hold()
        except Gone:
            pass

    origin.on_accept = script
    try:
        # Whether it is there when the request goes out is a race, so what is seen of it is either of two outcomes.
        for _ in range(10):
            reply = client.fetch(origin.url("/"), attempts=1, total=5 * SLOWNESS)
            if reply.WhichOneof("outcome") == "error":
                error = error_of(reply, pb.HTTP_UNSOLICITED_RESPONSE, pb.PHASE_SEND)
                assert error.processed == pb.PROCESSED_NO
            else:
                assert response_of(reply).body == b"evil"
    finally:
        origin.stop()


def test_the_whole_table_costs_nothing(client: Client, hostile: HostileOrigin, fetchd: Fetchd) -> None:
    """No memory, no descriptor, no lease."""

    def whole_table() -> None:
        calls = [
            client.fetch_later(hostile.url(f"/{reply.name}"), method=reply.method, attempts=1, **TIMEOUTS)
            for reply in REPLIES
        ]
        for call in calls:
            call.result()
        wait_until(fetchd.idle, "nothing is in flight or leased")

    def idle_connections() -> int:
        return int(fetchd.metric("fetchd_connections", state="idle"))

    whole_table()
    # Of each, apart from idle connections, which come and go.
    memory, descriptors = fetchd.rss(), fetchd.fds() - idle_connections()
    for _ in range(3):
        whole_table()
    grown = fetchd.rss() - memory
    print(f"RSS grew by {grown / MIB:.1f} MiB over {3 * len(REPLIES)} replies")
    if not SANITIZER:
        assert grown < 16 * MIB
    wait_until(lambda: fetchd.fds() - idle_connections() <= descriptors, "no descriptor is left")

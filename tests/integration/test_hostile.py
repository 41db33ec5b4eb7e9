"""Origins that answer late, slowly, without end or unasked: each ends in time, poisons nothing and costs no memory."""

import threading
import time
from typing import Any, Callable, Optional

import pytest
from calls import Client, error_of, response_of
from fetchd.v1 import fetch_pb2 as pb
from hostile_h1 import CHUNKED, EVIL, MIB, OK
from scripted_origin import Connection, Gone, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER


@pytest.fixture(scope="module")
def fetchd(start_fetchd: Any) -> Fetchd:
    """Without a breaker, which would soon leave an origin alone that behaves like this one."""
    return start_fetchd(breaker={"enabled": False})


@pytest.fixture(scope="module")
def client(fetchd: Fetchd) -> Client:
    """Calls the server of this file."""
    return Client(fetchd.channel())


@pytest.fixture(scope="module")
def hostile() -> Any:
    """One origin for all tests, so that poison would reach the next fetch."""
    server = ScriptedOrigin()
    server.route("/good", lambda connection: connection.reply(b"good"))
    yield server
    server.stop()


def assert_unpoisoned(client: Client, origin: ScriptedOrigin) -> None:
    """The next fetches of the same origin get what they asked for."""
    for _ in range(2):
        assert response_of(client.fetch(origin.url("/good"))).body == b"good"


def test_unsolicited_bytes_on_an_idle_connection(client: Client, hostile: ScriptedOrigin, fetchd: Fetchd) -> None:
    sent = threading.Event()
    go = threading.Event()

    def script(connection: Connection) -> None:
        connection.reply(b"first")
        assert go.wait(10)
        connection.send(EVIL)
        sent.set()

    assert response_of(client.fetch(hostile.route("/then_evil", script))).body == b"first"
    go.set()
    assert sent.wait(10)
    for _ in range(5):
        assert_unpoisoned(client, hostile)


def test_a_late_response_is_not_the_next_ones(client: Client, hostile: ScriptedOrigin) -> None:
    """A fetch that timed out leaves a connection on which its response still comes."""

    def script(connection: Connection) -> None:
        connection.hold()

    error_of(client.fetch(hostile.route("/late", script), attempts=1, first_byte=0.1), pb.HTTP_RESPONSE_TIMEOUT)
    assert_unpoisoned(client, hostile)


@pytest.mark.parametrize(
    "name,first,drip",
    [
        ("status_line", b"", b"HTTP/1.1 200 OK and so on"),
        ("header", OK, b"x-slow: and so on and so on"),
        ("headers", OK, b"a: b\r\n" * 10_000),
        ("body", OK + b"content-length: 10000\r\n\r\n", b"x" * 10_000),
        ("chunk_size", CHUNKED, b"0" * 10_000),
        ("interim", b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        ("trailers", CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_slow_loris_ends_with_the_attempt(
    client: Client, hostile: ScriptedOrigin, name: str, first: bytes, drip: bytes
) -> None:
    def script(connection: Connection) -> None:
        connection.send(first)
        connection.drip(drip, 0.02)
        connection.hold()

    start = time.monotonic()
    url = hostile.route(f"/loris_{name}", script)
    # Each byte in time, never the whole: no timeout but the attempt's sees it.
    reply = client.fetch(url, attempts=1, attempt=0.5, first_byte=5, between_bytes=5)
    error = error_of(reply, pb.ATTEMPT_TIMEOUT)
    # A status line that is not complete when time runs out may become the final one's.
    assert error.phase in ((pb.PHASE_WAIT, pb.PHASE_RECEIVE) if name == "interim" else (pb.PHASE_RECEIVE,))
    assert time.monotonic() - start < 5
    assert_unpoisoned(client, hostile)


def test_endless_replies_do_not_grow_the_server(client: Client, hostile: ScriptedOrigin, fetchd: Fetchd) -> None:
    def flood(first: bytes, piece: bytes) -> Callable[[Connection], None]:
        def script(connection: Connection) -> None:
            connection.send(first)
            for _ in range(64 * MIB // len(piece)):
                connection.send(piece)

        return script

    block = 64 * 1024
    floods = {
        "status": flood(b"HTTP/1.1 200 ", b"x" * block),
        "headers": flood(OK, (b"x-" + b"n" * 120 + b": y\r\n") * 512),
        "header": flood(OK + b"x: ", b"y" * block),
        "interim": flood(b"", b"HTTP/1.1 103 Early\r\nx: y\r\n\r\n" * 2048),
        "extension": flood(CHUNKED + b"2;", b"x" * block),
        "extensions": flood(CHUNKED, (b"1;" + b"x" * 1000 + b"\r\na\r\n") * 64),
        "trailers": flood(CHUNKED + b"0\r\n", b"x: y\r\n" * 8192),
        "body": flood(OK + b"\r\n", b"x" * block),
    }
    urls = [hostile.route(f"/flood_{name}", script) for name, script in floods.items()]

    def round_of_floods(times: int) -> None:
        calls = [client.fetch_later(url, attempts=1) for url in urls for _ in range(times)]
        for call in calls:
            assert call.result().WhichOneof("outcome") == "error"

    round_of_floods(1)
    before = fetchd.rss()
    round_of_floods(6)
    grown = fetchd.rss() - before
    print(f"RSS grew by {grown / MIB:.1f} MiB over {6 * len(urls)} floods of 64 MiB each")
    if not SANITIZER:
        # Six of them are whole bodies on the way to a reply of 3.5 MiB.
        assert grown < 64 * MIB
    assert_unpoisoned(client, hostile)


def test_origin_that_accepts_and_closes(client: Client, origin: ScriptedOrigin) -> None:
    origin.on_accept = lambda connection: connection.close()
    error = error_of(client.fetch(origin.url("/"), attempts=1), pb.CONNECTION_TERMINATED)
    assert error.phase in (pb.PHASE_SEND, pb.PHASE_WAIT)


def test_origin_that_answers_before_it_is_asked(client: Client, origin: ScriptedOrigin) -> None:
    """Bytes that came before the request are no response to it."""

    def script(connection: Connection) -> None:
        connection.send(EVIL)
        try:
            connection.hold()
        except Gone:
            pass

    origin.on_accept = script
    reply = client.fetch(origin.url("/"), attempts=1, total=2)
    assert reply.WhichOneof("outcome") == "error" or reply.response.body == b"evil"


def test_reused_connection_that_dies_is_replaced_once_for_free(client: Client, origin: ScriptedOrigin) -> None:
    """The origin closes instead of answering the second request of a connection."""

    def script(connection: Connection) -> None:
        served: Optional[int] = getattr(connection, "served", 0)
        if served:
            connection.close()
        else:
            connection.served = 1  # type: ignore[attr-defined]
            connection.reply(b"fresh")

    url = origin.route("/x", script)
    for _ in range(4):
        assert response_of(client.fetch(url, attempts=1)).body == b"fresh"


def test_reused_connection_that_dies_after_bytes_is_an_error(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        if getattr(connection, "served", 0):
            connection.send(b"HTTP/1.1 200 O")
            connection.close()
        else:
            connection.served = 1  # type: ignore[attr-defined]
            connection.reply(b"fresh")

    url = origin.route("/x", script)
    response_of(client.fetch(url, attempts=1))
    error_of(client.fetch(url, attempts=1), pb.HTTP_RESPONSE_INCOMPLETE)


def test_origin_on_our_own_ports_is_not_special(client: Client, fetchd: Fetchd) -> None:
    """gRPC speaks HTTP/2 only: fetching fetchd itself is an error, not a loop."""
    reply = client.fetch(f"http://{fetchd.target}/", attempts=1, total=5)
    assert reply.WhichOneof("outcome") == "error"

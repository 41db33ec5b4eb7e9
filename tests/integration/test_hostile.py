"""Replies no origin should send: each ends as the contract says, poisons nothing and costs no memory."""

import dataclasses
import threading
import time
from typing import Any, Callable, List, Optional, Tuple

import pytest
from calls import Client, error_of, response_of
from fetchd.v1 import fetch_pb2 as pb
from scripted_origin import Connection, Gone, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER, wait_until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
GOOD = OK + b"content-length: 2\r\n\r\nok"

STATUS_LINE = pb.HTTP_STATUS_LINE_INVALID
HEADER = pb.HTTP_HEADER_INVALID
LENGTH = pb.HTTP_CONTENT_LENGTH_INVALID
CODING = pb.HTTP_TRANSFER_CODING_INVALID
CHUNK_SIZE = pb.HTTP_CHUNK_SIZE_INVALID
CHUNK = pb.HTTP_CHUNK_INVALID
INCOMPLETE = pb.HTTP_RESPONSE_INCOMPLETE
TERMINATED = pb.CONNECTION_TERMINATED
SECTION = pb.HTTP_RESPONSE_HEADER_SECTION_SIZE
FIELD = pb.HTTP_RESPONSE_HEADER_SIZE
TRAILERS = pb.HTTP_RESPONSE_TRAILER_SECTION_SIZE

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def fetchd(start_fetchd: Any) -> Fetchd:
    """Without a breaker, which would soon leave an origin alone that behaves like this one."""
    return start_fetchd(breaker={"enabled": False})


@pytest.fixture(scope="module")
def client(fetchd: Fetchd) -> Client:
    """Calls the server of this file."""
    return Client(fetchd.channel())


@dataclasses.dataclass
class Reply:
    """Bytes of the origin, and what must come of them: an error code, or a body."""

    name: str
    data: bytes
    expected: Any
    then: str = "close"


def endless(first: bytes, piece: bytes) -> bytes:
    """Much more of something than any cap allows."""
    return first + piece * (2 * MIB // len(piece))


REPLIES: List[Reply] = [
    # No HTTP at all.
    Reply("nothing", b"", TERMINATED),
    Reply("nothing_reset", b"", TERMINATED, "reset"),
    Reply("garbage", b"\x00\x01\x02\xff\xfe garbage \r\n\r\n", STATUS_LINE),
    Reply("ssh_banner", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", STATUS_LINE),
    Reply("html_without_head", b"<html><body>hi</body></html>\r\n\r\n", STATUS_LINE),
    Reply("tls_record", bytes.fromhex("1603010200010001fc0303") + b"\x00" * 64, STATUS_LINE),
    Reply("http2_settings", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\r\n\r\n", STATUS_LINE),
    Reply("a_request_in_reply", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", STATUS_LINE),
    # Status line.
    Reply("status_line_only_half", b"HTTP/1.1 20", INCOMPLETE),
    Reply("version_0_9", b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("version_2_0", b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("version_1_10", b"HTTP/1.10 200 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("version_in_lower_case", b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("no_status", b"HTTP/1.1 \r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("status_of_two_digits", b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("status_of_four_digits", b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("status_of_letters", b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("status_negative", b"HTTP/1.1 -20 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
    Reply("status_000", b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n", pb.HTTP_STATUS_INVALID),
    Reply("status_099", b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", pb.HTTP_STATUS_INVALID),
    Reply("status_600", b"HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n", pb.HTTP_STATUS_INVALID),
    Reply("status_999", b"HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n", pb.HTTP_STATUS_INVALID),
    Reply("reason_with_nul", b"HTTP/1.1 200 O\x00K\r\ncontent-length: 0\r\n\r\n", pb.HTTP_NUL),
    Reply("status_line_endless", endless(b"HTTP/1.1 200 ", b"x" * 1024), SECTION),
    Reply("switching_protocols_unasked", b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", pb.HTTP_STATUS_INVALID),
    Reply("too_many_interim_responses", endless(b"", b"HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n"), pb.HTTP_TOO_MANY_INTERIM_RESPONSES),
    Reply("interim_responses_then_nothing", b"HTTP/1.1 100 Continue\r\n\r\n", TERMINATED),
    # Header section.
    Reply("no_end_of_head", OK + b"content-length: 2\r\n", INCOMPLETE),
    Reply("header_without_colon", OK + b"no colon here\r\ncontent-length: 0\r\n\r\n", HEADER),
    Reply("header_with_empty_name", OK + b": value\r\ncontent-length: 0\r\n\r\n", HEADER),
    Reply("blank_before_colon", OK + b"content-length : 2\r\n\r\nok", pb.HTTP_SPACE_BEFORE_COLON),
    Reply("blank_in_name", OK + b"x y: 1\r\ncontent-length: 0\r\n\r\n", HEADER),
    Reply("nul_in_name", OK + b"x\x00y: 1\r\ncontent-length: 0\r\n\r\n", pb.HTTP_NUL),
    Reply("nul_in_value", OK + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n", pb.HTTP_NUL),
    Reply("cr_in_value", OK + b"x: a\rb\r\ncontent-length: 0\r\n\r\n", pb.HTTP_BARE_CR),
    Reply("first_header_folded", OK + b" folded: 1\r\ncontent-length: 0\r\n\r\n", pb.HTTP_HEADER_FOLDED),
    Reply("headers_endless", endless(OK, b"x-%s: y\r\n" % (b"n" * 1000)), SECTION),
    Reply("one_header_endless", endless(OK + b"x: ", b"y" * 1024), SECTION),
    Reply("one_header_too_big", OK + b"x: " + b"y" * 40_000 + b"\r\ncontent-length: 0\r\n\r\n", FIELD),
    Reply("too_many_headers", OK + b"a: b\r\n" * 3000 + b"content-length: 0\r\n\r\n", FIELD),
    # Content-Length.
    Reply("length_negative", OK + b"content-length: -1\r\n\r\n", LENGTH),
    Reply("length_with_plus", OK + b"content-length: +2\r\n\r\nok", LENGTH),
    Reply("length_hex", OK + b"content-length: 0x2\r\n\r\nok", LENGTH),
    Reply("length_empty", OK + b"content-length: \r\n\r\nok", LENGTH),
    Reply("length_fraction", OK + b"content-length: 2.0\r\n\r\nok", LENGTH),
    Reply("length_beyond_64_bits", OK + b"content-length: 18446744073709551617\r\n\r\nok", LENGTH),
    Reply("lengths_that_differ", OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!", pb.HTTP_CONTENT_LENGTH_CONFLICT),
    Reply("lengths_that_differ_in_a_list", OK + b"content-length: 2, 3\r\n\r\nok!", pb.HTTP_CONTENT_LENGTH_CONFLICT),
    Reply("length_and_chunked", OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", pb.HTTP_FRAMING_CONFLICT),
    Reply("chunked_and_length", OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n", pb.HTTP_FRAMING_CONFLICT),
    Reply("length_huge", OK + b"content-length: 9223372036854775807\r\n\r\nok", pb.HTTP_RESPONSE_BODY_SIZE),
    Reply("body_short", OK + b"content-length: 10\r\n\r\nshort", INCOMPLETE),
    Reply("body_short_and_reset", OK + b"content-length: 10\r\n\r\nshort", INCOMPLETE, "reset"),
    # Transfer codings.
    Reply("chunked_twice", OK + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CODING),
    Reply("chunked_in_two_fields", OK + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", CODING),
    Reply("unknown_coding", OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CODING),
    Reply("chunked_not_last", OK + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", CODING),
    Reply("chunked_misspelt", OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", CODING),
    Reply("chunk_size_garbage", CHUNKED + b"zz\r\nab\r\n0\r\n\r\n", CHUNK_SIZE),
    Reply("chunk_size_negative", CHUNKED + b"-2\r\nab\r\n0\r\n\r\n", CHUNK_SIZE),
    Reply("chunk_size_with_0x", CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n", CHUNK_SIZE),
    Reply("chunk_size_empty", CHUNKED + b"\r\nab\r\n0\r\n\r\n", CHUNK_SIZE),
    Reply("chunk_size_beyond_64_bits", CHUNKED + b"ffffffffffffffff2\r\nab\r\n0\r\n\r\n", CHUNK_SIZE),
    Reply("chunk_size_endless", endless(CHUNKED, b"0"), CHUNK),
    Reply("chunk_longer_than_said", CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", CHUNK),
    Reply("chunk_without_its_end", CHUNKED + b"2\r\nab0\r\n\r\n", CHUNK),
    Reply("chunk_extension_endless", endless(CHUNKED + b"2;", b"x" * 1024), CHUNK),
    # Each within its cap, but not all of them together.
    Reply("chunk_extensions_add_up", endless(CHUNKED, b"1;" + b"x" * 1000 + b"\r\na\r\n"), CHUNK),
    Reply("chunk_cut", CHUNKED + b"ff\r\nabc", INCOMPLETE),
    Reply("chunks_without_last", CHUNKED + b"2\r\nab\r\n", INCOMPLETE),
    Reply("last_chunk_without_end", CHUNKED + b"2\r\nab\r\n0\r\n", INCOMPLETE),
    Reply("chunk_huge", CHUNKED + b"7fffffffffffffff\r\nabc", INCOMPLETE),
    Reply("trailers_endless", endless(CHUNKED + b"2\r\nab\r\n0\r\n", b"x-t: %s\r\n" % (b"y" * 1000)), TRAILERS),
    Reply("trailer_malformed", CHUNKED + b"2\r\nab\r\n0\r\nno colon\r\n\r\n", HEADER),
    # Odd, and allowed.
    Reply("lengths_that_agree", OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", b"ok", "keep"),
    Reply("no_reason", b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", b"ok", "keep"),
    Reply("http_1_0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
    Reply("chunk_size_with_zeros", CHUNKED + b"0002\r\nok\r\n000\r\n\r\n", b"ok", "keep"),
    Reply("reset_after_a_whole_response", GOOD, b"ok", "reset"),
]

# After these responses the connection has bytes that nobody asked for: the response stands, the connection is not used
# again, and the extra response is never taken for the answer to another request.
EVIL = OK + b"content-length: 4\r\n\r\nevil"
LEFTOVERS: List[Tuple[str, bytes]] = [
    ("second_response", GOOD + EVIL),
    ("garbage", GOOD + b"garbage"),
    ("blank_line_and_response", GOOD + b"\r\n" + EVIL),
    ("body_longer_than_said", OK + b"content-length: 2\r\n\r\nok and more"),
    ("after_last_chunk", CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + EVIL),
    ("after_304", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil" + EVIL),
    ("after_204", b"HTTP/1.1 204 No Content\r\ncontent-length: 100\r\n\r\n" + EVIL),
]


@pytest.fixture(scope="module")
def hostile() -> Any:
    """One origin for all replies, so that poison would reach the next fetch."""
    server = ScriptedOrigin()
    server.route("/good", lambda connection: connection.reply(b"good"))
    yield server
    server.stop()


def assert_unpoisoned(client: Client, origin: ScriptedOrigin) -> None:
    """The next fetches of the same origin get what they asked for."""
    for _ in range(2):
        assert response_of(client.fetch(origin.url("/good"))).body == b"good"


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.name)
def test_reply(client: Client, fetchd: Fetchd, hostile: ScriptedOrigin, reply: Reply) -> None:
    url = hostile.raw(f"/{reply.name}", reply.data, reply.then)
    got = client.fetch(url, attempts=1, total=10)
    if isinstance(reply.expected, bytes):
        assert response_of(got).body == reply.expected
    else:
        error = error_of(got, reply.expected)
        assert error.processed in (pb.PROCESSED_MAYBE, pb.PROCESSED_YES)
        # A broken response is not asked for again; a reused connection that died without one is replaced once.
        assert got.attempts <= (2 if reply.expected == TERMINATED else 1)
    assert_unpoisoned(client, hostile)
    wait_until(fetchd.idle, "nothing is in flight or leased")


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.name)
def test_reply_to_a_stream(client: Client, hostile: ScriptedOrigin, reply: Reply) -> None:
    if reply.name == "length_huge":
        pytest.skip("a stream has no limit")
    url = hostile.raw(f"/{reply.name}", reply.data, reply.then)
    call = client.stream(url, attempts=1, total=10)
    body = call.read()
    assert call.tail is not None
    if isinstance(reply.expected, bytes):
        assert (body, call.tail.HasField("error")) == (reply.expected, False)
    else:
        assert pb.ErrorCode.Name(call.tail.error.code) == pb.ErrorCode.Name(reply.expected)
        assert not call.tail.error.HasField("partial_response")
    assert call.tail.body_bytes == len(body)
    assert_unpoisoned(client, hostile)


@pytest.mark.parametrize("name,data", LEFTOVERS, ids=[name for name, _ in LEFTOVERS])
def test_leftovers_poison_nothing(client: Client, hostile: ScriptedOrigin, name: str, data: bytes) -> None:
    url = hostile.raw(f"/leftover_{name}", data, "keep")
    for _ in range(3):
        reply = client.fetch(url, attempts=1)
        assert reply.WhichOneof("outcome") == "response"
        assert reply.response.body in (b"ok", b"")
        assert_unpoisoned(client, hostile)
    assert all(request.target.startswith("/") for request in hostile.requests)


def test_a_body_after_head_poisons_nothing(client: Client, hostile: ScriptedOrigin) -> None:
    url = hostile.raw("/head_with_body", OK + b"content-length: 4\r\n\r\nevil", "keep")
    assert response_of(client.fetch(url, method="HEAD")).body == b""
    assert_unpoisoned(client, hostile)


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

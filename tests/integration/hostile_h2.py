"""What an HTTP/2 peer should not do, and what may look like it: cases for test_hostile_h2.py with their verdicts."""

import dataclasses
import socket
import struct
from typing import Any, Callable, Dict, List, Optional, Tuple

import h2_peer as h2
from fetchd.v1 import fetch_pb2 as pb
from h2_peer import Connection, block, field, indexed

KIB = 1024
MIB = 1024 * KIB

PROTOCOL = pb.HTTP2_PROTOCOL_ERROR
RESET = pb.HTTP2_STREAM_RESET
REFUSED = pb.HTTP2_STREAM_REFUSED
FLOOD = pb.HTTP2_FLOOD
INCOMPLETE = pb.HTTP_RESPONSE_INCOMPLETE
TERMINATED = pb.CONNECTION_TERMINATED

On = Callable[[Connection, int], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """One peer. `verdict` is an error code, or the body that comes all the same."""

    name: str
    verdict: Any
    # Runs for each request, once its head has come; afterwards the peer reads until the client closes.
    script: Optional[On] = None
    # What comes instead if the request was not out yet when the peer's offence came, or if there are two offences.
    or_else: Any = None
    # Runs instead of everything for each connection.
    on_connect: Optional[Callable[[Connection], None]] = None
    # The first SETTINGS.
    settings: Tuple[Tuple[int, int], ...] = ()
    # How many requests it does so to; None: all.
    times: Optional[int] = None
    # Arguments of fetch_request.
    fetch: Dict[str, Any] = dataclasses.field(default_factory=dict)
    tls: bool = False
    # Does not answer PING and SETTINGS.
    rude: bool = False
    # The next fetch may come on the same connection.
    stays: bool = False

    def __str__(self) -> str:
        return self.name


def then_good(act: On) -> On:
    """`act`, then a good response."""

    def script(c: Connection, s: int) -> None:
        act(c, s)
        c.good(s)

    return script


def frames(*parts: Callable[[int], bytes]) -> On:
    """Sends frames made from the stream's id."""

    def script(c: Connection, s: int) -> None:
        c.send(b"".join(part(s) for part in parts))

    return script


def raw(kind: int, flags: int = 0, payload: bytes = b"", stream: Optional[int] = None, length: Optional[int] = None) -> Any:
    """A frame on the request's stream, or on another one."""
    return lambda s: h2.frame(kind, flags, s if stream is None else stream, payload, length)


def on(kind: int, payload: bytes = b"", flags: int = 0, length: Optional[int] = None) -> Any:
    """A frame on the connection."""
    return raw(kind, flags, payload, 0, length)


def head(fields: bytes = h2.STATUS_200, end: bool = False, flags: int = h2.END_HEADERS) -> Any:
    """HEADERS on the request's stream."""
    return raw(h2.HEADERS, flags | (h2.END_STREAM if end else 0), fields)


def body(payload: bytes = b"", end: bool = False) -> Any:
    """DATA on the request's stream."""
    return raw(h2.DATA, h2.END_STREAM if end else 0, payload)


def u32(*values: int) -> bytes:
    """Big-endian words."""
    return struct.pack(f">{len(values)}I", *values)


def setting(key: int, value: int) -> bytes:
    """One setting."""
    return struct.pack(">HI", key, value)


GOOD = (head(block([(b"content-length", b"4")])), body(b"good", True))


def flood(data: Callable[[int], bytes], first: Tuple[Any, ...] = ()) -> On:
    """Sends something until the client has enough, or 64 MiB."""

    def script(c: Connection, s: int) -> None:
        for part in first:
            c.send(part(s))
        one = data(s)
        many = one * (64 * KIB // len(one) + 1)
        for _ in range(64 * MIB // len(many)):
            c.send(many)

    return script


def http1_text(c: Connection) -> None:
    """Never heard of HTTP/2."""
    c.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    c.sock.shutdown(socket.SHUT_WR)
    while c.sock.recv(65536):
        pass


def connects(data: bytes, close: bool = False) -> Callable[[Connection], None]:
    """Sends this for a greeting, then waits or closes."""

    def script(c: Connection) -> None:
        c.send(data)
        if close:
            c.sock.recv(65536)
            c.close()
        else:
            c.drain()

    return script


def close_after(*parts: Any) -> On:
    """Sends frames and closes."""

    def script(c: Connection, s: int) -> None:
        frames(*parts)(c, s)
        c.close()

    return script


def many_interim(c: Connection, s: int) -> None:
    """1xx without end."""
    for _ in range(2000):
        c.headers(s, block([(b"link", b"</a>")], b"103"))


def continuations(count: int, size: int) -> On:
    """A block in many frames, which ends."""

    def script(c: Connection, s: int) -> None:
        c.frame(h2.HEADERS, 0, s, h2.STATUS_200)
        for i in range(count):
            c.frame(h2.CONTINUATION, 0, s, field(b"x-%d" % i, b"v" * size))
        c.frame(h2.CONTINUATION, h2.END_HEADERS, s, b"")
        c.data(s, b"good", True)

    return script


def stalls(first: bytes, rest: bytes, sent: int = 0) -> On:
    """Stops within a frame, and goes on when the client has given up."""

    def script(c: Connection, s: int) -> None:
        c.send(first + rest[:sent])
        h2.until(lambda: not c.peer.armed)
        c.send(rest[sent:])

    return script


def stalls_before_continuation(c: Connection, s: int) -> None:
    stalls(h2.frame(h2.HEADERS, 0, s, h2.STATUS_200), h2.frame(h2.CONTINUATION, h2.END_HEADERS, s))(c, s)


def stalls_within_data(c: Connection, s: int) -> None:
    stalls(h2.frame(h2.HEADERS, h2.END_HEADERS, s, h2.STATUS_200), h2.frame(h2.DATA, 0, s, b"abcdefgh"), 12)(c, s)


def in_frames(fields: bytes) -> On:
    """A block in as many frames as it takes."""

    def script(c: Connection, s: int) -> None:
        c.frame(h2.HEADERS, h2.END_STREAM, s, fields[:16000])
        for at in range(16000, len(fields), 16000):
            c.frame(h2.CONTINUATION, 0, s, fields[at : at + 16000])
        c.frame(h2.CONTINUATION, h2.END_HEADERS, s)

    return script


def window_of_nothing_then_some(c: Connection, s: int) -> None:
    """The stream's window shrinks below nothing, grows again, and the upload goes on."""
    c.settings((h2.INITIAL_WINDOW_SIZE, 0))
    c.read_until(h2.SETTINGS)
    c.window(s, 2_000_000)
    c.window(0, 2_000_000)
    while True:
        kind, flags, _, _ = c.read_frame()
        if kind == h2.DATA and flags & h2.END_STREAM:
            break
    c.good(s)


def allow_none_for_a_while(c: Connection, s: int) -> None:
    """MAX_CONCURRENT_STREAMS 0 with a stream open hurts it not."""
    c.settings((h2.MAX_CONCURRENT_STREAMS, 0))
    c.good(s)
    c.settings((h2.MAX_CONCURRENT_STREAMS, 100))


def refuse(c: Connection, s: int) -> None:
    c.reset(s, h2.REFUSED_STREAM)


def goaway_below(c: Connection, s: int) -> None:
    """Says that it did not look at the request."""
    c.goaway(s - 1 if s > 1 else 0)


QUICK: Dict[str, Any] = {"first_byte": 0.4, "between_bytes": 0.4}
LARGE = b"b" * 1_000_000

CASES: List[Case] = [
    # Framing of the connection.
    Case("http1_instead", PROTOCOL, or_else=TERMINATED, on_connect=http1_text),
    Case("http1_instead_that_stays", PROTOCOL, or_else=REFUSED, on_connect=connects(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    Case("garbage_instead", PROTOCOL, or_else=REFUSED, on_connect=connects(b"\xff" * 100)),
    Case("closes_at_once", TERMINATED, on_connect=connects(b"", True)),
    Case("no_settings_first", PROTOCOL, or_else=REFUSED, on_connect=connects(h2.frame(h2.PING, 0, 0, bytes(8)))),
    Case("settings_ack_first", PROTOCOL, or_else=REFUSED, on_connect=connects(h2.frame(h2.SETTINGS, h2.ACK, 0))),
    Case("no_settings_at_all", PROTOCOL, on_connect=connects(b"")),
    Case("frame_too_large", PROTOCOL, frames(head(), raw(h2.DATA, 0, bytes(16385)))),
    Case("frame_says_16_mib", PROTOCOL, frames(head(), raw(h2.DATA, 0, bytes(10), length=0xFFFFFF))),
    Case("unknown_frame_types", b"good", frames(raw(0x42, 0xFF, b"?" * 50), on(0xFE, b"!" * 9), *GOOD), stays=True),
    Case("unknown_flags", b"good", frames(on(h2.PING, bytes(8), 0xFE), *GOOD), stays=True),
    Case("reserved_bit_set", b"good", frames(lambda s: h2.frame(h2.WINDOW_UPDATE, 0, s | 1 << 31, u32(5)), *GOOD), stays=True),
    Case("closes_within_a_frame_head", TERMINATED, close_after(lambda s: b"\x00\x00")),
    Case("closes_within_headers", INCOMPLETE, close_after(raw(h2.HEADERS, h2.END_HEADERS, b"\x88", length=100))),
    Case("closes_before_continuation", INCOMPLETE, close_after(head(flags=0))),
    Case("closes_within_data", INCOMPLETE, close_after(head(), raw(h2.DATA, 0, b"abc", length=100))),
    Case("closes_before_the_end", INCOMPLETE, close_after(head(), body(b"abc"))),
    Case("closes_by_tls_before_the_end", pb.TLS_TRUNCATED, close_after(head(), body(b"abc")), tls=True),
    Case("stalls_before_anything", pb.HTTP_RESPONSE_TIMEOUT, frames(), fetch=QUICK),
    Case("stalls_within_a_frame_head", pb.HTTP_RESPONSE_TIMEOUT, stalls(b"", h2.frame(h2.PING, 0, 0, bytes(8)), 1), fetch=QUICK),
    Case("stalls_before_continuation", pb.CONNECTION_READ_TIMEOUT, stalls_before_continuation, fetch=QUICK),
    Case("stalls_within_data", pb.CONNECTION_READ_TIMEOUT, stalls_within_data, fetch=QUICK),
    Case("stalls_before_the_end", pb.CONNECTION_READ_TIMEOUT, frames(head(), body(b"abc")), fetch=QUICK),
    Case("stalls_before_the_trailers", pb.CONNECTION_READ_TIMEOUT, frames(*GOOD[:1], body(b"good")), fetch=QUICK),
    # Padding.
    Case("padding_longer_than_data", PROTOCOL, frames(head(), raw(h2.DATA, h2.PADDED, b"\x0aabc"))),
    Case("padding_longer_than_headers", PROTOCOL, frames(raw(h2.HEADERS, h2.END_HEADERS | h2.PADDED, b"\xff\x88"))),
    Case("padding_without_a_length", PROTOCOL, frames(head(), raw(h2.DATA, h2.PADDED))),
    Case("padding_all", b"good", frames(head(), raw(h2.DATA, h2.PADDED, b"\xff" + bytes(255)), body(b"good", True)), stays=True),
    # Flow control.
    Case("window_update_of_zero_on_the_connection", PROTOCOL, frames(on(h2.WINDOW_UPDATE, u32(0)))),
    Case("window_update_of_zero_on_a_stream", PROTOCOL, frames(raw(h2.WINDOW_UPDATE, 0, u32(0)))),
    Case("window_overflow_of_the_connection", PROTOCOL, frames(on(h2.WINDOW_UPDATE, u32(0x7FFFFFFF)))),
    Case("window_overflow_of_a_stream", PROTOCOL, frames(raw(h2.WINDOW_UPDATE, 0, u32(0x7FFFFFFF)))),
    Case("window_update_of_three_bytes", PROTOCOL, frames(on(h2.WINDOW_UPDATE, b"abc"))),
    Case("window_update_of_an_idle_stream", PROTOCOL, frames(raw(h2.WINDOW_UPDATE, 0, u32(1), stream=999))),
    Case("window_overflow_by_settings", PROTOCOL,
         frames(raw(h2.WINDOW_UPDATE, 0, u32(0x7FFF0000)), on(h2.SETTINGS, setting(h2.INITIAL_WINDOW_SIZE, 0x7FFFFFFF)))),
    Case("window_negative_then_open", b"good", window_of_nothing_then_some, fetch={"method": "POST", "body": LARGE}, stays=True),
    Case("window_never_opened", pb.CONNECTION_WRITE_TIMEOUT, frames(), settings=((h2.INITIAL_WINDOW_SIZE, 0),),
         fetch={"method": "POST", "body": LARGE, "send_idle": 0.4}, stays=True),
    # States of streams.
    Case("headers_on_an_idle_stream", PROTOCOL, frames(raw(h2.HEADERS, h2.END_HEADERS, h2.STATUS_200, stream=999))),
    Case("headers_on_an_even_stream", PROTOCOL, frames(raw(h2.HEADERS, h2.END_HEADERS, h2.STATUS_200, stream=2))),
    Case("headers_on_stream_0", PROTOCOL, frames(on(h2.HEADERS, h2.STATUS_200, h2.END_HEADERS))),
    Case("data_on_stream_0", PROTOCOL, frames(on(h2.DATA, b"abc"))),
    Case("data_on_an_idle_stream", PROTOCOL, frames(raw(h2.DATA, 0, b"abc", stream=999))),
    Case("data_before_headers", PROTOCOL, frames(body(b"abc"))),
    Case("data_before_the_final_headers", PROTOCOL, frames(head(block((), b"103")), body(b"abc"))),
    Case("data_after_the_end", b"good", frames(*GOOD, body(b"more", True))),
    Case("headers_after_the_end", b"good", frames(*GOOD, head(end=True))),
    Case("headers_twice_without_end", PROTOCOL, frames(head(), head(field(b"x", b"y")))),
    Case("headers_twice_with_status", PROTOCOL, frames(head(), head(block(), True))),
    Case("push_promise", PROTOCOL, frames(raw(h2.PUSH_PROMISE, h2.END_HEADERS, u32(2) + b"\x82\x84\x87"))),
    Case("rst_of_an_idle_stream", PROTOCOL, frames(raw(h2.RST_STREAM, 0, u32(8), stream=999))),
    Case("rst_of_stream_0", PROTOCOL, frames(on(h2.RST_STREAM, u32(8)))),
    Case("rst_of_three_bytes", PROTOCOL, frames(raw(h2.RST_STREAM, 0, b"abc"))),
    Case("rst_twice", RESET, frames(raw(h2.RST_STREAM, 0, u32(8)), raw(h2.RST_STREAM, 0, u32(8))), stays=True),
    Case("continuation_alone", PROTOCOL, frames(raw(h2.CONTINUATION, h2.END_HEADERS, h2.STATUS_200))),
    Case("continuation_interleaved", PROTOCOL, frames(head(flags=0), on(h2.PING, bytes(8)))),
    Case("continuation_of_another_stream", PROTOCOL,
         frames(head(flags=0), raw(h2.CONTINUATION, h2.END_HEADERS, b"", stream=999))),
    # As RFC 7540 had it; RFC 9113 leaves it open.
    Case("priority_on_itself", PROTOCOL, frames(lambda s: h2.frame(h2.PRIORITY, 0, s, u32(s) + b"\x10"), *GOOD)),
    Case("ping_of_seven_bytes", PROTOCOL, frames(on(h2.PING, bytes(7)))),
    Case("ping_on_a_stream", PROTOCOL, frames(raw(h2.PING, 0, bytes(8)))),
    Case("goaway_of_four_bytes", PROTOCOL, frames(on(h2.GOAWAY, bytes(4)))),
    Case("goaway_on_a_stream", PROTOCOL, frames(raw(h2.GOAWAY, 0, bytes(8)))),
    # SETTINGS.
    Case("settings_of_five_bytes", PROTOCOL, frames(on(h2.SETTINGS, bytes(5)))),
    Case("settings_on_a_stream", PROTOCOL, frames(raw(h2.SETTINGS, 0, b""))),
    Case("settings_ack_with_payload", PROTOCOL, frames(on(h2.SETTINGS, setting(1, 1), h2.ACK))),
    Case("settings_push_of_two", PROTOCOL, frames(on(h2.SETTINGS, setting(h2.ENABLE_PUSH, 2)))),
    Case("settings_push_by_a_server", PROTOCOL, frames(on(h2.SETTINGS, setting(h2.ENABLE_PUSH, 1)))),
    Case("settings_window_too_large", PROTOCOL, frames(on(h2.SETTINGS, setting(h2.INITIAL_WINDOW_SIZE, 1 << 31)))),
    Case("settings_frame_size_too_small", PROTOCOL, frames(on(h2.SETTINGS, setting(h2.MAX_FRAME_SIZE, 16383)))),
    Case("settings_frame_size_too_large", PROTOCOL, frames(on(h2.SETTINGS, setting(h2.MAX_FRAME_SIZE, 1 << 24)))),
    Case("settings_unknown", b"good", frames(on(h2.SETTINGS, setting(0x7777, 1)), *GOOD), stays=True),
    Case("settings_ack_unasked", PROTOCOL, frames(on(h2.SETTINGS, b"", h2.ACK), *GOOD)),
    # The first request is out before its SETTINGS are here.
    Case("settings_no_streams_ever", REFUSED, refuse, settings=((h2.MAX_CONCURRENT_STREAMS, 0),)),
    Case("settings_no_streams_for_a_while", b"good", allow_none_for_a_while),
    Case("settings_table_of_0", b"good", frames(on(h2.SETTINGS, setting(h2.HEADER_TABLE_SIZE, 0)), *GOOD), stays=True),
    # HPACK.
    Case("hpack_index_0", PROTOCOL, frames(head(b"\x80"))),
    Case("hpack_index_beyond_the_table", PROTOCOL, frames(head(b"\xff\x80\x01"))),
    Case("hpack_integer_huge", PROTOCOL, frames(head(b"\xff" + b"\xff" * 20))),
    Case("hpack_string_longer_than_the_block", PROTOCOL, frames(head(b"\x88\x00\x01x\x7f\xff\x7f"))),
    Case("hpack_huffman_bad_padding", PROTOCOL, frames(head(b"\x88\x00\x01x\x81\x00"))),
    Case("hpack_huffman_with_eos", PROTOCOL, frames(head(b"\x88\x00\x01x\x84\xff\xff\xff\xff"))),
    Case("hpack_table_over_the_limit", PROTOCOL, frames(head(b"\x3f\xff\xff\xff\x0f\x88"))),
    Case("hpack_table_update_after_a_field", PROTOCOL, frames(head(b"\x88\x20"))),
    Case("hpack_table_of_0_then_4096", b"good", frames(head(b"\x20\x3f\xe1\x1f\x88"), body(b"good", True)), stays=True),
    Case("hpack_block_cut", PROTOCOL, frames(head(b"\x88\x00\x05ab"))),
    # 4 KiB in the table, then one byte each.
    Case("hpack_bomb", pb.HTTP_RESPONSE_HEADER_SECTION_SIZE,
         frames(head(h2.STATUS_200 + indexed(b"x-a", b"v" * 4000) + b"\xbe" * 8000, True))),
    # Fields.
    Case("status_missing", PROTOCOL, frames(head(field(b"x", b"y")))),
    Case("status_twice", PROTOCOL, frames(head(b"\x88\x88"))),
    Case("status_empty", PROTOCOL, frames(head(block((), b"")))),
    Case("status_of_letters", PROTOCOL, frames(head(block((), b"abc")))),
    Case("status_99", PROTOCOL, frames(head(block((), b"99")))),
    Case("status_1000", PROTOCOL, frames(head(block((), b"1000")))),
    Case("status_099", pb.HTTP_PROTOCOL_ERROR, frames(head(block((), b"099"), True))),
    Case("status_600", pb.HTTP_PROTOCOL_ERROR, frames(head(block((), b"600"), True))),
    Case("status_101", PROTOCOL, frames(head(block((), b"101")))),
    Case("status_after_a_field", PROTOCOL, frames(head(field(b"x", b"y") + h2.STATUS_200))),
    Case("path_in_a_response", PROTOCOL, frames(head(h2.STATUS_200 + field(b":path", b"/")))),
    Case("unknown_pseudo_field", PROTOCOL, frames(head(h2.STATUS_200 + field(b":x", b"/")))),
    Case("name_in_capitals", PROTOCOL, frames(head(block([(b"X-A", b"1")])))),
    Case("name_empty", PROTOCOL, frames(head(block([(b"", b"1")])))),
    Case("name_with_a_blank", PROTOCOL, frames(head(block([(b"x a", b"1")])))),
    Case("name_with_nul", PROTOCOL, frames(head(block([(b"x\x00a", b"1")])))),
    Case("value_with_nul", PROTOCOL, frames(head(block([(b"x", b"a\x00b")])))),
    Case("value_with_line_end", PROTOCOL, frames(head(block([(b"x", b"a\r\nset-cookie: b")])))),
    Case("connection_field", PROTOCOL, frames(head(block([(b"connection", b"close")])))),
    Case("transfer_encoding_field", PROTOCOL, frames(head(block([(b"transfer-encoding", b"chunked")])))),
    Case("field_too_large", pb.HTTP_RESPONSE_HEADER_SIZE, in_frames(h2.STATUS_200 + field(b"x", b"v" * 40_000))),
    Case("too_many_fields", pb.HTTP_RESPONSE_HEADER_SIZE, frames(head(h2.STATUS_200 + field(b"a", b"b") * 2500, True))),
    Case("head_too_large", pb.HTTP_RESPONSE_HEADER_SECTION_SIZE, continuations(7, 16000)),
    Case("trailers_with_status", PROTOCOL, frames(head(), body(b"abc"), head(h2.STATUS_200, True))),
    Case("trailers_without_end", PROTOCOL, frames(head(), body(b"abc"), head(field(b"x", b"y")))),
    Case("trailers_too_large", pb.HTTP_RESPONSE_TRAILER_SECTION_SIZE,
         frames(head(), body(b"abc"), raw(h2.HEADERS, h2.END_STREAM, field(b"x", b"v" * 16000)),
                *[raw(h2.CONTINUATION, 0, field(b"x", b"v" * 16000))] * 3, raw(h2.CONTINUATION, h2.END_HEADERS))),
    Case("trailers", b"good", frames(head(), body(b"good"), head(field(b"x", b"y"), True)), stays=True),
    # Content-Length.
    Case("length_more_than_the_body", PROTOCOL, frames(head(block([(b"content-length", b"9")])), body(b"abc", True))),
    Case("length_less_than_the_body", PROTOCOL, frames(head(block([(b"content-length", b"2")])), body(b"abc", True))),
    Case("length_of_none", PROTOCOL, frames(head(block([(b"content-length", b"9")]), True))),
    Case("lengths_that_differ", PROTOCOL,
         frames(head(block([(b"content-length", b"2"), (b"content-length", b"3")])), body(b"ab", True))),
    Case("length_negative", PROTOCOL, frames(head(block([(b"content-length", b"-1")])), body(b"ab", True))),
    Case("length_beyond_64_bits", PROTOCOL, frames(head(block([(b"content-length", b"99999999999999999999")])))),
    Case("length_huge", pb.HTTP_RESPONSE_BODY_SIZE, frames(head(block([(b"content-length", b"9223372036854775807")])))),
    Case("body_with_204", PROTOCOL, frames(head(block((), b"204")), body(b"abc", True))),
    # Floods.
    Case("flood_of_ping", FLOOD, flood(on(h2.PING, bytes(8)))),
    Case("flood_of_ping_acks", FLOOD, flood(on(h2.PING, bytes(8), h2.ACK))),
    Case("flood_of_settings", FLOOD, flood(on(h2.SETTINGS, setting(h2.INITIAL_WINDOW_SIZE, 65535)))),
    Case("flood_of_empty_settings", FLOOD, flood(on(h2.SETTINGS))),
    # The first one has ended the fetch.
    Case("flood_of_rst", RESET, flood(raw(h2.RST_STREAM, 0, u32(8)))),
    Case("flood_of_continuation", FLOOD, flood(raw(h2.CONTINUATION, 0, field(b"x", b"y")), (head(flags=0),))),
    Case("flood_of_empty_continuation", FLOOD, flood(raw(h2.CONTINUATION), (head(flags=0),))),
    Case("flood_of_empty_data", FLOOD, flood(body(), (head(),))),
    Case("flood_of_padding", FLOOD, flood(raw(h2.DATA, h2.PADDED, b"\x03abc"), (head(),))),
    Case("flood_of_window_updates", FLOOD, flood(on(h2.WINDOW_UPDATE, u32(1)))),
    Case("flood_of_priority", FLOOD, flood(raw(h2.PRIORITY, 0, u32(0) + b"\x10"))),
    Case("flood_of_unknown_frames", FLOOD, flood(on(0x77, b"x"))),
    Case("flood_of_goaway", FLOOD, flood(on(h2.GOAWAY, u32(0x7FFFFFFF, 0)))),
    Case("flood_of_interim", pb.HTTP_PROTOCOL_ERROR, many_interim),
    Case("more_data_than_wanted", pb.HTTP_RESPONSE_BODY_SIZE, frames(head(), *[body(bytes(16 * KIB))] * 15),
         fetch={"max_bytes": 1000}, stays=True),
    # Refusals and farewells.
    Case("refused_once", b"good", refuse, times=1, stays=True),
    Case("refused_once_a_post", b"good", refuse, times=1, fetch={"method": "POST", "body": b"x"}, stays=True),
    Case("refused_always", REFUSED, refuse, stays=True),
    Case("cancelled", RESET, lambda c, s: c.reset(s, h2.CANCEL), stays=True),
    Case("cancelled_within_the_body", RESET, frames(head(), body(b"abc"), raw(h2.RST_STREAM, 0, u32(2))), stays=True),
    Case("reset_without_error_before_the_head", INCOMPLETE, lambda c, s: c.reset(s, h2.NO_ERROR), stays=True),
    Case("reset_without_error_within_the_body", INCOMPLETE, frames(head(), body(b"abc"), raw(h2.RST_STREAM, 0, u32(0))), stays=True),
    Case("reset_of_an_unknown_code", RESET, lambda c, s: c.reset(s, 0xDEADBEEF), stays=True),
    Case("goaway_below_once", b"good", goaway_below, times=1),
    Case("goaway_below_once_a_post", b"good", goaway_below, times=1, fetch={"method": "POST", "body": b"x"}),
    Case("goaway_below_always", REFUSED, goaway_below),
    Case("goaway_above_and_answers", b"good", then_good(lambda c, s: c.goaway(0x7FFFFFFF))),
    Case("goaway_growing", PROTOCOL, frames(on(h2.GOAWAY, u32(1, 0)), on(h2.GOAWAY, u32(5, 0)), *GOOD)),
    Case("goaway_with_an_error", TERMINATED, lambda c, s: (c.goaway(s, h2.INTERNAL_ERROR), c.close())),
    Case("goaway_within_the_body", b"good", frames(head(), body(b"go"), on(h2.GOAWAY, u32(0x7FFFFFFF, 0)), body(b"od", True))),
    # What has answered has acted, whatever it says.
    Case("refused_within_the_body", INCOMPLETE, frames(head(), body(b"go"), raw(h2.RST_STREAM, 0, u32(7))), stays=True),
    Case("goaway_below_within_the_body", INCOMPLETE, frames(head(), body(b"go"), on(h2.GOAWAY, u32(0, 0)), body(b"od", True))),
    Case("calm_down", REFUSED, lambda c, s: (c.goaway(0, h2.ENHANCE_YOUR_CALM), c.close())),
    Case("wants_http1_by_tls", b"good", lambda c, s: c.reset(s, h2.HTTP_1_1_REQUIRED), tls=True),
    Case("wants_http1_of_who_knew_better", pb.HTTP_VERSION_NOT_AVAILABLE, lambda c, s: c.reset(s, h2.HTTP_1_1_REQUIRED)),
    Case("ping_unanswered", TERMINATED, frames(), fetch={"first_byte": 30, "attempt": 30}, rude=True),
]

"""Replies of a hostile HTTP/1 origin, each by its name, with the verdict that fetchd must come to beside it.

docs/responses.md says why. `then` is what the origin does after the bytes: close, reset, hold (keep the connection open and
silent) or keep (serve the next request). What is refused is refused while the origin holds, so that no verdict comes from a
close alone.
"""

import dataclasses
from typing import List, Optional

from fetchd.v1 import fetch_pb2 as pb

MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A response with this body, or an error."""

    body: Optional[bytes] = None
    status: int = 200
    code: int = 0
    phase: int = 0
    processed: int = 0

    @property
    def good(self) -> bool:
        """It is a response."""
        return self.body is not None


def ok(body: bytes = b"ok", status: int = 200) -> Verdict:
    """A response."""
    return Verdict(body, status)


def bad(code: int) -> Verdict:
    """The response began, and broke a rule or broke off."""
    return Verdict(None, 0, code, pb.PHASE_RECEIVE, pb.PROCESSED_YES)


def none(code: int) -> Verdict:
    """No response began."""
    return Verdict(None, 0, code, pb.PHASE_WAIT, pb.PROCESSED_MAYBE)


@dataclasses.dataclass(frozen=True)
class Reply:
    """Bytes of the origin to a request, what it does then, and the verdict."""

    name: str
    data: bytes
    verdict: Verdict
    then: str = "hold"
    method: str = "GET"


def endless(first: bytes, piece: bytes) -> bytes:
    """Much more of something than any cap allows."""
    return first + piece * (2 * MIB // len(piece))


OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_0 = b"content-length: 0\r\n\r\n"
LENGTH_2 = b"content-length: 2\r\n\r\nok"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
GOOD = OK + LENGTH_2
# A second response, which nobody must ever see.
EVIL = OK + b"content-length: 4\r\n\r\nevil"

STATUS_LINE = bad(pb.HTTP_STATUS_LINE_INVALID)
STATUS = bad(pb.HTTP_STATUS_INVALID)
HEADER = bad(pb.HTTP_HEADER_INVALID)
COLON = bad(pb.HTTP_SPACE_BEFORE_COLON)
FOLDED = bad(pb.HTTP_HEADER_FOLDED)
BARE_CR = bad(pb.HTTP_BARE_CR)
BARE_LF = bad(pb.HTTP_BARE_LF)
NUL = bad(pb.HTTP_NUL)
LENGTH = bad(pb.HTTP_CONTENT_LENGTH_INVALID)
LENGTHS = bad(pb.HTTP_CONTENT_LENGTH_CONFLICT)
CONFLICT = bad(pb.HTTP_FRAMING_CONFLICT)
CODING = bad(pb.HTTP_TRANSFER_CODING_INVALID)
CODING_1_0 = bad(pb.HTTP10_TRANSFER_CODING)
CHUNK_SIZE = bad(pb.HTTP_CHUNK_SIZE_INVALID)
CHUNK = bad(pb.HTTP_CHUNK_INVALID)
TRAILER = bad(pb.HTTP_TRAILER_INVALID)
INTERIM = bad(pb.HTTP_TOO_MANY_INTERIM_RESPONSES)
SECTION = bad(pb.HTTP_RESPONSE_HEADER_SECTION_SIZE)
FIELD = bad(pb.HTTP_RESPONSE_HEADER_SIZE)
TRAILERS = bad(pb.HTTP_RESPONSE_TRAILER_SECTION_SIZE)
BODY = bad(pb.HTTP_RESPONSE_BODY_SIZE)
INCOMPLETE = bad(pb.HTTP_RESPONSE_INCOMPLETE)
STALLED = bad(pb.CONNECTION_READ_TIMEOUT)
SILENT = none(pb.HTTP_RESPONSE_TIMEOUT)
TERMINATED = none(pb.CONNECTION_TERMINATED)

NO_HTTP = [
    Reply("nothing", b"", TERMINATED, "close"),
    Reply("nothing_reset", b"", TERMINATED, "reset"),
    Reply("nothing_ever", b"", SILENT),
    Reply("garbage", b"\x00\x01\x02\xff\xfe garbage \r\n\r\n", STATUS_LINE),
    Reply("garbage_without_line_end", b"\xff" * 40, STATUS_LINE),
    Reply("ssh_banner", b"SSH-2.0-OpenSSH_9.2p1\r\n", STATUS_LINE),
    Reply("smtp_banner", b"220 mail.example ESMTP\r\n", STATUS_LINE),
    Reply("html_without_head", b"<html><body>hi</body></html>", STATUS_LINE),
    Reply("json_without_head", b'{"ok": true}', STATUS_LINE),
    Reply("tls_record", bytes.fromhex("1603010200010001fc0303") + b"\x00" * 64, STATUS_LINE),
    Reply("tls_alert", bytes.fromhex("15030100020246"), STATUS_LINE),
    Reply("http2_settings", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", STATUS_LINE),
    Reply("http2_goaway", b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 7 + b"\x01", STATUS_LINE),
    Reply("a_request_in_reply", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", STATUS_LINE),
    Reply("icy", b"ICY 200 OK\r\n\r\n", STATUS_LINE),
    Reply("byte_order_mark", b"\xef\xbb\xbf" + GOOD, STATUS_LINE),
    Reply("blank_line_first", b"\r\n" + GOOD, STATUS_LINE),
    Reply("blank_first", b" " + GOOD, STATUS_LINE),
    Reply("headers_only", LENGTH_2, STATUS_LINE),
]

STATUS_LINES = [
    Reply("status_line_half", b"HTTP/1.1 20", INCOMPLETE, "close"),
    Reply("status_line_half_and_silence", b"HTTP/1.1 20", STALLED),
    Reply("one_byte", b"H", INCOMPLETE, "close"),
    Reply("version_0_9", b"HTTP/0.9 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_1_2", b"HTTP/1.2 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_1_10", b"HTTP/1.10 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_1_01", b"HTTP/1.01 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_2_0", b"HTTP/2.0 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_2", b"HTTP/2 200\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_without_minor", b"HTTP/1 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_negative", b"HTTP/1.-1 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_in_lower_case", b"http/1.1 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_of_another_protocol", b"RTSP/1.0 200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("tab_after_version", b"HTTP/1.1\t200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("two_blanks_after_version", b"HTTP/1.1  200 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("no_status", b"HTTP/1.1 \r\n" + LENGTH_0, STATUS_LINE),
    Reply("version_alone", b"HTTP/1.1\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_of_two_digits", b"HTTP/1.1 20 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_of_four_digits", b"HTTP/1.1 2000 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_of_letters", b"HTTP/1.1 abc OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_in_hex", b"HTTP/1.1 0xC OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_negative", b"HTTP/1.1 -20 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_with_plus", b"HTTP/1.1 +20 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("status_with_fraction", b"HTTP/1.1 200.1 OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("reason_right_after_status", b"HTTP/1.1 200OK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("reason_with_control", b"HTTP/1.1 200 O\x01K\r\n" + LENGTH_0, STATUS_LINE),
    Reply("reason_with_escape", b"HTTP/1.1 200 \x1b[2J\r\n" + LENGTH_0, STATUS_LINE),
    Reply("reason_with_delete", b"HTTP/1.1 200 O\x7fK\r\n" + LENGTH_0, STATUS_LINE),
    Reply("reason_with_nul", b"HTTP/1.1 200 O\x00K\r\n" + LENGTH_0, NUL),
    Reply("reason_with_cr", b"HTTP/1.1 200 O\rK\r\n" + LENGTH_0, BARE_CR),
    Reply("status_line_with_two_crs", b"HTTP/1.1 200 OK\r\r\n" + LENGTH_0, BARE_CR),
    Reply("status_line_with_lf", b"HTTP/1.1 200 OK\n" + LENGTH_0, BARE_LF),
    Reply("all_lines_with_lf", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", BARE_LF),
    Reply("status_line_endless", endless(b"HTTP/1.1 200 ", b"x" * 1024), SECTION),
    Reply("status_line_over_its_cap", b"HTTP/1.1 200 " + b"x" * 9000 + b"\r\n" + LENGTH_0, SECTION),
    Reply("status_000", b"HTTP/1.1 000 OK\r\n" + LENGTH_0, STATUS),
    Reply("status_099", b"HTTP/1.1 099 OK\r\n" + LENGTH_0, STATUS),
    Reply("status_600", b"HTTP/1.1 600 OK\r\n" + LENGTH_0, STATUS),
    Reply("status_999", b"HTTP/1.1 999 OK\r\n" + LENGTH_0, STATUS),
    Reply("switching_unasked", b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", STATUS),
    Reply("switching_to_http2", b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\n\x00\x00\x00\x04\x00", STATUS),
    Reply("switching_without_upgrade", b"HTTP/1.1 101 Switching\r\n\r\n" + GOOD, STATUS),
]

INTERIM_RESPONSES = [
    Reply("interim_too_many", endless(b"", b"HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n"), INTERIM),
    Reply("interim_17", b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + GOOD, INTERIM),
    Reply("interim_16", b"HTTP/1.1 100 Continue\r\n\r\n" * 16 + GOOD, ok(), "keep"),
    Reply("interim_then_nothing", b"HTTP/1.1 100 Continue\r\n\r\n", TERMINATED, "close"),
    Reply("interim_then_silence", b"HTTP/1.1 103 Early Hints\r\n\r\n", SILENT),
    Reply("interim_then_garbage", b"HTTP/1.1 100 Continue\r\n\r\ngarbage", STATUS_LINE),
    Reply("interim_with_coding", b"HTTP/1.1 103 E\r\ntransfer-encoding: chunked\r\n\r\n" + END + GOOD, CODING),
    Reply("interim_with_body", b"HTTP/1.1 100 C\r\ncontent-length: 4\r\n\r\nevil" + GOOD, STATUS_LINE),
    Reply("interim_with_bad_header", b"HTTP/1.1 103 E\r\nlink : </a>\r\n\r\n" + GOOD, COLON),
    Reply("interim_of_http_1_0", b"HTTP/1.0 100 Continue\r\n\r\n" + GOOD, ok(), "keep"),
    Reply("interim_over_cap", b"HTTP/1.1 103 E\r\nx: " + b"y" * 70_000 + b"\r\n\r\n" + GOOD, SECTION),
    Reply("interim_199", b"HTTP/1.1 199 X\r\n\r\n" + GOOD, ok(), "keep"),
]

HEADERS = [
    Reply("head_without_end", OK + b"content-length: 2\r\n", INCOMPLETE, "close"),
    Reply("head_without_end_and_silence", OK + b"content-length: 2\r\n", STALLED),
    Reply("header_without_colon", OK + b"no colon here\r\n" + LENGTH_0, HEADER),
    Reply("header_of_one_word", OK + b"word\r\n" + LENGTH_0, HEADER),
    Reply("header_without_name", OK + b": value\r\n" + LENGTH_0, HEADER),
    Reply("name_with_blank", OK + b"x y: 1\r\n" + LENGTH_0, HEADER),
    Reply("name_with_parenthesis", OK + b"x(y): 1\r\n" + LENGTH_0, HEADER),
    Reply("name_with_slash", OK + b"x/y: 1\r\n" + LENGTH_0, HEADER),
    Reply("name_in_quotes", OK + b'"x": 1\r\n' + LENGTH_0, HEADER),
    Reply("name_with_high_byte", OK + b"x\xe4: 1\r\n" + LENGTH_0, HEADER),
    Reply("name_with_control", OK + b"x\x01: 1\r\n" + LENGTH_0, HEADER),
    Reply("name_like_http2", OK + b":status: 500\r\n" + LENGTH_0, HEADER),
    Reply("value_with_control", OK + b"x: a\x01b\r\n" + LENGTH_0, HEADER),
    Reply("value_with_backspace", OK + b"x: secret\x08\x08\r\n" + LENGTH_0, HEADER),
    Reply("value_with_delete", OK + b"x: a\x7fb\r\n" + LENGTH_0, HEADER),
    Reply("second_status_line", OK + b"HTTP/1.1 200 OK\r\n" + LENGTH_0, HEADER),
    Reply("space_before_colon", OK + b"content-length : 2\r\n\r\nok", COLON),
    Reply("tab_before_colon", OK + b"content-length\t: 2\r\n\r\nok", COLON),
    Reply("space_before_colon_of_coding", OK + b"transfer-encoding : chunked\r\n" + LENGTH_2, COLON),
    Reply("first_header_folded", OK + b" folded: 1\r\n" + LENGTH_0, FOLDED),
    Reply("header_folded", OK + b"x: a\r\n b\r\n" + LENGTH_0, FOLDED),
    Reply("header_folded_by_tab", OK + b"x: a\r\n\tb\r\n" + LENGTH_0, FOLDED),
    Reply("length_hidden_in_fold", OK + b"x: a\r\n content-length: 100\r\n" + LENGTH_2, FOLDED),
    Reply("line_of_one_blank", OK + b" \r\n" + LENGTH_0, FOLDED),
    Reply("nul_in_name", OK + b"x\x00y: 1\r\n" + LENGTH_0, NUL),
    Reply("nul_in_value", OK + b"x: a\x00b\r\n" + LENGTH_0, NUL),
    Reply("nul_after_length", OK + b"content-length: 2\x00\r\n\r\nok", NUL),
    Reply("cr_in_name", OK + b"x\ry: 1\r\n" + LENGTH_0, BARE_CR),
    Reply("cr_in_value", OK + b"x: a\rb\r\n" + LENGTH_0, BARE_CR),
    Reply("cr_that_hides_a_header", OK + b"x: a\rcontent-length: 100\r\n" + LENGTH_2, BARE_CR),
    Reply("two_crs_before_lf", OK + b"x: a\r\r\n" + LENGTH_0, BARE_CR),
    Reply("lf_in_headers", OK + b"x: a\n" + LENGTH_0, BARE_LF),
    Reply("lf_that_hides_a_length", OK + b"x: a\ncontent-length: 100\r\n" + LENGTH_2, BARE_LF),
    Reply("head_ends_with_lf", OK + b"content-length: 2\r\n\nok", BARE_LF),
    Reply("headers_endless", endless(OK, b"x-%s: y\r\n" % (b"n" * 1000)), SECTION),
    Reply("one_header_endless", endless(OK + b"x: ", b"y" * 1024), SECTION),
    Reply("one_header_over_its_cap", OK + b"x: " + b"y" * 40_000 + b"\r\n" + LENGTH_0, FIELD),
    Reply("one_name_over_its_cap", OK + b"x" * 17_000 + b": y\r\n" + LENGTH_0, FIELD),
    Reply("too_many_headers", OK + b"a: b\r\n" * 3000 + LENGTH_0, FIELD),
    Reply("257_headers", OK + b"a: b\r\n" * 256 + LENGTH_0, FIELD),
    Reply("256_headers", OK + b"a: b\r\n" * 255 + LENGTH_2, ok(), "keep"),
]

LENGTHS_TABLE = [
    Reply("length_negative", OK + b"content-length: -1\r\n\r\n", LENGTH),
    Reply("length_minus_zero", OK + b"content-length: -0\r\n\r\n", LENGTH),
    Reply("length_with_plus", OK + b"content-length: +2\r\n\r\nok", LENGTH),
    Reply("length_in_hex", OK + b"content-length: 0x2\r\n\r\nok", LENGTH),
    Reply("length_of_letters", OK + b"content-length: two\r\n\r\nok", LENGTH),
    Reply("length_empty", OK + b"content-length: \r\n\r\nok", LENGTH),
    Reply("length_with_fraction", OK + b"content-length: 2.0\r\n\r\nok", LENGTH),
    Reply("length_with_exponent", OK + b"content-length: 2e0\r\n\r\nok", LENGTH),
    Reply("length_with_blank_inside", OK + b"content-length: 1 2\r\n\r\nok", LENGTH),
    Reply("length_with_parameter", OK + b"content-length: 2;q=1\r\n\r\nok", LENGTH),
    Reply("length_in_quotes", OK + b'content-length: "2"\r\n\r\nok', LENGTH),
    Reply("length_list_with_gap", OK + b"content-length: 2,,2\r\n\r\nok", LENGTH),
    Reply("length_list_with_end", OK + b"content-length: 2,\r\n\r\nok", LENGTH),
    Reply("length_2_to_the_64th", OK + b"content-length: 18446744073709551616\r\n\r\nok", LENGTH),
    Reply("length_of_a_thousand_digits", OK + b"content-length: " + b"9" * 1000 + b"\r\n\r\nok", LENGTH),
    Reply("length_bad_in_304", b"HTTP/1.1 304 N\r\ncontent-length: x\r\n\r\n", LENGTH),
    Reply("length_bad_after_head", OK + b"content-length: x\r\n\r\n", LENGTH, method="HEAD"),
    Reply("lengths_differ", OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!", LENGTHS),
    Reply("lengths_differ_in_a_list", OK + b"content-length: 2, 3\r\n\r\nok!", LENGTHS),
    Reply("lengths_differ_by_nothing", OK + b"content-length: 2\r\ncontent-length: 0\r\n\r\nok", LENGTHS),
    Reply("length_and_chunked", OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n" + END, CONFLICT),
    Reply("chunked_and_length", OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + END, CONFLICT),
    Reply("length_0_and_chunked", OK + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n" + EVIL, CONFLICT),
    Reply("length_and_chunked_after_head", OK + b"transfer-encoding: chunked\r\n" + LENGTH_0, CONFLICT, method="HEAD"),
    Reply("length_over_limit", OK + b"content-length: 9223372036854775807\r\n\r\nok", BODY),
    Reply("length_2_to_the_64th_less_1", OK + b"content-length: 18446744073709551615\r\n\r\nok", BODY),
    Reply("body_short", OK + b"content-length: 10\r\n\r\nshort", INCOMPLETE, "close"),
    Reply("body_short_and_reset", OK + b"content-length: 10\r\n\r\nshort", INCOMPLETE, "reset"),
    Reply("body_short_and_silence", OK + b"content-length: 10\r\n\r\nshort", STALLED),
    Reply("body_until_reset", OK + b"\r\nsome", INCOMPLETE, "reset"),
    Reply("lengths_agree", OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", ok(), "keep"),
    Reply("lengths_agree_in_a_list", OK + b"content-length: 2, 02\r\n\r\nok", ok(), "keep"),
    Reply("length_with_zeros", OK + b"content-length: 0000000000000000000000002\r\n\r\nok", ok(), "keep"),
]

CODINGS = [
    Reply("coding_chunked_twice", OK + b"transfer-encoding: chunked, chunked\r\n\r\n" + END, CODING),
    Reply("coding_in_two_fields", OK + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n" + END, CODING),
    Reply("coding_gzip", OK + b"transfer-encoding: gzip\r\n\r\n", CODING),
    Reply("coding_gzip_and_chunked", OK + b"transfer-encoding: gzip, chunked\r\n\r\n" + END, CODING),
    Reply("coding_chunked_not_last", OK + b"transfer-encoding: chunked, identity\r\n\r\n" + END, CODING),
    Reply("coding_identity", OK + b"transfer-encoding: identity\r\n" + LENGTH_2, CODING),
    Reply("coding_misspelt", OK + b"transfer-encoding: xchunked\r\n\r\n" + END, CODING),
    Reply("coding_in_quotes", OK + b'transfer-encoding: "chunked"\r\n\r\n' + END, CODING),
    Reply("coding_with_parameter", OK + b"transfer-encoding: chunked;x=y\r\n\r\n" + END, CODING),
    Reply("coding_with_comma", OK + b"transfer-encoding: chunked,\r\n\r\n" + END, CODING),
    Reply("coding_empty", OK + b"transfer-encoding:\r\n" + LENGTH_2, CODING),
    Reply("coding_with_vertical_tab", OK + b"transfer-encoding: \x0bchunked\r\n\r\n" + END, HEADER),
    Reply("coding_in_204", b"HTTP/1.1 204 N\r\ntransfer-encoding: chunked\r\n\r\n" + END, CODING),
    Reply("coding_in_http_1_0", b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + END, CODING_1_0),
    Reply("coding_and_length_in_http_1_0", b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n" + LENGTH_2, CODING_1_0),
    Reply("coding_in_304", b"HTTP/1.1 304 N\r\ntransfer-encoding: chunked\r\n\r\n", ok(b"", 304), "keep"),
    Reply("coding_in_capitals", OK + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n" + END, ok(), "keep"),
]

CHUNKS = [
    Reply("chunk_size_garbage", CHUNKED + b"zz\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_negative", CHUNKED + b"-2\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_plus", CHUNKED + b"+2\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_0x", CHUNKED + b"0x2\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_h", CHUNKED + b"2h\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_empty", CHUNKED + b"\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_after_blank", CHUNKED + b" 2\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_before_blank", CHUNKED + b"2 \r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_twice", CHUNKED + b"2 2\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_underscore", CHUNKED + b"1_0\r\n0123456789abcdef\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_missing_before_extension", CHUNKED + b";x\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_2_to_the_64th", CHUNKED + b"10000000000000000\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_that_wraps", CHUNKED + b"ffffffffffffffff2\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_nul", CHUNKED + b"2\x00\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_cr", CHUNKED + b"2\rx\r\nab\r\n" + END, CHUNK_SIZE),
    Reply("chunk_size_with_lf", CHUNKED + b"2\nab\r\n" + END, BARE_LF),
    Reply("chunk_lines_with_lf", CHUNKED + b"2\nab\n0\n\n", BARE_LF),
    Reply("chunk_size_endless", endless(CHUNKED, b"0"), CHUNK),
    Reply("chunk_longer_than_said", CHUNKED + b"2\r\nabc\r\n" + END, CHUNK),
    Reply("chunk_shorter_than_said", CHUNKED + b"4\r\nab\r\n" + END, CHUNK),
    Reply("chunk_without_its_end", CHUNKED + b"2\r\nab" + END, CHUNK),
    Reply("chunk_ends_with_lf", CHUNKED + b"2\r\nab\n" + END, CHUNK),
    Reply("chunk_ends_with_cr", CHUNKED + b"2\r\nab\r0\r\n\r\n", CHUNK),
    Reply("chunk_ends_with_lf_cr", CHUNKED + b"2\r\nab\n\r" + END, CHUNK),
    Reply("chunk_extension_without_name", CHUNKED + b"2;=x\r\nab\r\n" + END, CHUNK),
    Reply("chunk_extension_open_quote", CHUNKED + b'2;x="y\r\nab\r\n' + END, CHUNK),
    Reply("chunk_extension_with_cr", CHUNKED + b"2;x\ry\r\nab\r\n" + END, CHUNK),
    Reply("chunk_extension_with_lf", CHUNKED + b"2;x\n0\r\n\r\n" + EVIL, BARE_LF),
    Reply("chunk_extension_endless", endless(CHUNKED + b"2;", b"x" * 1024), CHUNK),
    # Each within its cap, but not all of them together.
    Reply("chunk_extensions_add_up", endless(CHUNKED, b"1;" + b"x" * 1000 + b"\r\na\r\n"), CHUNK),
    Reply("chunk_cut", CHUNKED + b"ff\r\nabc", INCOMPLETE, "close"),
    Reply("chunk_stalls", CHUNKED + b"ff\r\nabc", STALLED),
    Reply("chunk_huge", CHUNKED + b"7fffffffffffffff\r\nabc", INCOMPLETE, "close"),
    Reply("chunks_without_last", CHUNKED + b"2\r\nab\r\n", INCOMPLETE, "close"),
    Reply("last_chunk_without_end", CHUNKED + b"2\r\nab\r\n0\r\n", INCOMPLETE, "close"),
    Reply("last_chunk_without_end_stalls", CHUNKED + b"2\r\nab\r\n0\r\n", STALLED),
    Reply("chunked_nothing", CHUNKED, INCOMPLETE, "close"),
    Reply("trailers_endless", endless(CHUNKED + b"0\r\n", b"x-t: %s\r\n" % (b"y" * 1000)), TRAILERS),
    Reply("trailers_too_many", CHUNKED + b"0\r\n" + b"x: y\r\n" * 300 + b"\r\n", FIELD),
    Reply("trailer_over_its_cap", CHUNKED + b"0\r\nx: " + b"y" * 17_000 + b"\r\n\r\n", TRAILERS),
    Reply("trailer_malformed", CHUNKED + b"2\r\nab\r\n0\r\nno colon\r\n\r\n", HEADER),
    Reply("trailer_folded", CHUNKED + b"0\r\nx: y\r\n z\r\n\r\n", FOLDED),
    Reply("trailer_with_nul", CHUNKED + b"0\r\nx: \x00\r\n\r\n", NUL),
    Reply("trailer_with_cr", CHUNKED + b"0\r\nx: a\rb\r\n\r\n", BARE_CR),
    Reply("trailer_with_lf", CHUNKED + b"0\r\nx: a\n\r\n", BARE_LF),
    Reply("trailer_space_before_colon", CHUNKED + b"0\r\nx : a\r\n\r\n", COLON),
    Reply("trailer_length", CHUNKED + b"0\r\ncontent-length: 4\r\n\r\nevil", TRAILER),
    Reply("trailer_coding", CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n", TRAILER),
    Reply("response_instead_of_chunk_end", CHUNKED + b"2\r\nok" + EVIL, CHUNK),
    Reply("chunk_size_with_zeros", CHUNKED + b"0002\r\nok\r\n000\r\n\r\n", ok(), "keep"),
    Reply("chunk_extensions", CHUNKED + b'2 ; a ; b = "\\" ;" ;c=d\r\nok\r\n0;x\r\n\r\n', ok(), "keep"),
]

# Bytes after the end of a good response: it stands, its connection is never used again.
LEFTOVERS = [
    Reply("after_end_second_response", GOOD + EVIL, ok(), "keep"),
    Reply("after_end_many_responses", GOOD + EVIL * 1000, ok(), "keep"),
    Reply("after_end_garbage", GOOD + b"garbage", ok(), "keep"),
    Reply("after_end_blank_line", GOOD + b"\r\n", ok(), "keep"),
    Reply("after_end_blank_line_and_response", GOOD + b"\r\n" + EVIL, ok(), "keep"),
    Reply("after_end_of_body", OK + b"content-length: 2\r\n\r\nok and more", ok(), "keep"),
    Reply("after_length_0", OK + LENGTH_0 + EVIL, ok(b""), "keep"),
    Reply("after_last_chunk", CHUNKED + b"2\r\nok\r\n" + END + EVIL, ok(), "keep"),
    Reply("after_trailers", CHUNKED + b"2\r\nok\r\n0\r\nx: y\r\n\r\n" + EVIL, ok(), "keep"),
    Reply("after_204", b"HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nevil", ok(b"", 204), "keep"),
    Reply("after_304", b"HTTP/1.1 304 N\r\ncontent-length: 4\r\n\r\nevil" + EVIL, ok(b"", 304), "keep"),
    Reply("after_head", OK + b"content-length: 4\r\n\r\nevil", ok(b""), "keep", "HEAD"),
    Reply("after_head_chunked", CHUNKED + b"4\r\nevil\r\n" + END, ok(b""), "keep", "HEAD"),
    Reply("after_interim_and_end", b"HTTP/1.1 100 C\r\n\r\n" + GOOD + EVIL, ok(), "keep"),
    Reply("after_end_close", GOOD, ok(), "close"),
    Reply("after_end_reset", GOOD, ok(), "reset"),
    Reply("close_said_and_not_done", OK + b"connection: close\r\n" + LENGTH_2, ok(), "keep"),
    Reply("http_1_0_not_closed", b"HTTP/1.0 200 OK\r\n" + LENGTH_2, ok(), "keep"),
]

# Odd, and allowed.
ODD = [
    Reply("no_reason", b"HTTP/1.1 200 \r\n" + LENGTH_2, ok(), "keep"),
    Reply("no_reason_and_no_blank", b"HTTP/1.1 200\r\n" + LENGTH_2, ok(), "keep"),
    Reply("reason_of_blanks", b"HTTP/1.1 200  \t \r\n" + LENGTH_2, ok(), "keep"),
    Reply("reason_with_high_bytes", b"HTTP/1.1 200 \xe4\xff\r\n" + LENGTH_2, ok(), "keep"),
    Reply("http_1_0", b"HTTP/1.0 200 OK\r\n" + LENGTH_2, ok(), "close"),
    Reply("http_1_0_keep_alive", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + LENGTH_2, ok(), "keep"),
    Reply("body_until_close", OK + b"\r\nok", ok(), "close"),
    Reply("body_until_close_empty", OK + b"\r\n", ok(b""), "close"),
    Reply("status_299", b"HTTP/1.1 299 Odd\r\n" + LENGTH_2, ok(b"ok", 299), "keep"),
    Reply("status_599", b"HTTP/1.1 599 Odd\r\n" + LENGTH_2, ok(b"ok", 599), "keep"),
    Reply("value_empty", OK + b"x:\r\n" + LENGTH_2, ok(), "keep"),
    Reply("value_with_high_bytes", OK + b"x: \xe4\xff\r\n" + LENGTH_2, ok(), "keep"),
    Reply("value_with_many_blanks", OK + b"x: \t a \t b \t \r\n" + LENGTH_2, ok(), "keep"),
    Reply("name_with_odd_characters", OK + b"!#$%&'*+-.^_`|~: y\r\n" + LENGTH_2, ok(), "keep"),
    Reply("empty_after_no_content", b"HTTP/1.1 204 No Content\r\n\r\n", ok(b"", 204), "keep"),
]

REPLIES: List[Reply] = (
    NO_HTTP + STATUS_LINES + INTERIM_RESPONSES + HEADERS + LENGTHS_TABLE + CODINGS + CHUNKS + LEFTOVERS + ODD
)

# What TLS adds: how the connection ends. `then` is `close` (without close_notify) or `close_notify`.
TRUNCATED = bad(pb.TLS_TRUNCATED)
TLS_REPLIES: List[Reply] = [
    Reply("tls_cut_in_status_line", b"HTTP/1.1 20", TRUNCATED, "close"),
    Reply("tls_cut_in_head", OK + b"content-length: 2\r\n", TRUNCATED, "close"),
    Reply("tls_cut_in_length", OK + b"content-length: 10\r\n\r\nshort", TRUNCATED, "close"),
    Reply("tls_cut_in_chunk", CHUNKED + b"ff\r\nabc", TRUNCATED, "close"),
    Reply("tls_cut_between_chunks", CHUNKED + b"2\r\nok\r\n", TRUNCATED, "close"),
    Reply("tls_cut_before_trailers_end", CHUNKED + b"2\r\nok\r\n0\r\n", TRUNCATED, "close"),
    Reply("tls_cut_until_close", OK + b"\r\nok", TRUNCATED, "close"),
    Reply("tls_cut_until_close_http_1_0", b"HTTP/1.0 200 OK\r\n\r\nok", TRUNCATED, "close"),
    Reply("tls_cut_before_anything", b"", TERMINATED, "close"),
    Reply("tls_cut_after_length", GOOD, ok(), "close"),
    Reply("tls_cut_after_last_chunk", CHUNKED + b"2\r\nok\r\n" + END, ok(), "close"),
    Reply("tls_end_until_close", OK + b"\r\nok", ok(), "close_notify"),
    Reply("tls_end_in_length", OK + b"content-length: 10\r\n\r\nshort", INCOMPLETE, "close_notify"),
    Reply("tls_end_in_chunk", CHUNKED + b"ff\r\nabc", INCOMPLETE, "close_notify"),
    Reply("tls_end_before_anything", b"", TERMINATED, "close_notify"),
    Reply("tls_after_end", GOOD + EVIL, ok(), "keep"),
    Reply("tls_plain_bytes", b"garbage", STATUS_LINE, "hold"),
]

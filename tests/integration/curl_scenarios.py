"""Well-formed exchanges for test_curl_table.py: what is asked of which server, and what a scripted origin answers."""

import dataclasses
import gzip
import zlib
from typing import Iterator, List, Optional, Tuple

KIB = 1024


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One exchange. With `reply` a scripted origin answers with these bytes; else `server` has the path."""

    name: str
    path: str
    method: str = "GET"
    headers: Tuple[Tuple[str, bytes], ...] = ()
    # None: no body. b"" is sent as one of no length.
    body: Optional[bytes] = None
    reply: Optional[bytes] = None
    # What the scripted origin does after its reply: keep or close.
    then: str = "keep"
    # A scripted one ("scripted", "scripted_tls"), or "nginx", "apache", "nghttpd" with a port of web_servers.py.
    server: str = "scripted"
    port: str = ""
    follow: bool = False
    # Codings are undone (curl --compressed).
    decode: bool = False

    def __str__(self) -> str:
        return self.name


def ok(body: bytes = b"ok", headers: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """A response with Content-Length."""
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, headers, len(body), body)


def chunked(pieces: List[bytes], trailers: bytes = b"", headers: bytes = b"") -> bytes:
    """A chunked response."""
    text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + headers + b"\r\n"
    for piece in pieces:
        text += b"%x\r\n%s\r\n" % (len(piece), piece)
    return text + b"0\r\n" + trailers + b"\r\n"


def pattern(size: int) -> bytes:
    """Bytes of all values."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def replies() -> Iterator[Scenario]:
    """Responses of all shapes."""

    def one(name: str, reply: bytes, then: str = "keep", method: str = "GET", **more: object) -> Scenario:
        return Scenario(f"reply_{name}", f"/reply/{name}", method, reply=reply, then=then, **more)  # type: ignore[arg-type]

    statuses = [200, 201, 202, 203, 206, 207, 226, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407]
    statuses += [409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 426, 428, 431, 451]
    statuses += [500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 299, 499, 599]
    for status in statuses:
        yield one(f"status_{status}", ok(b"body of %d" % status, b"x-a: 1\r\n", b"%d Some Reason" % status))
    yield one("status_204", b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n")
    yield one("status_205", ok(b"", b"x-a: 1\r\n", b"205 Reset Content"))
    yield one("status_304", b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n")
    yield one("status_304_with_length", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n")
    yield one("location_on_200", ok(b"here", b"location: /elsewhere\r\n"))
    yield one("head", b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\nx-a: 1\r\n\r\n", method="HEAD")
    yield one("head_chunked", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", method="HEAD")
    yield one("head_404", b"HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\n", method="HEAD")
    yield one("options", ok(b"", b"allow: GET, HEAD\r\n"), method="OPTIONS")
    yield one("no_reason", b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok")
    yield one("reason_of_obs_text", b"HTTP/1.1 200 \xc3\x9cber\r\ncontent-length: 2\r\n\r\nok")
    yield one("http_1_0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "close")
    yield one("http_1_0_until_close", b"HTTP/1.0 200 OK\r\nx-a: 1\r\n\r\n" + pattern(70_000), "close")
    yield one("http_1_1_until_close", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + pattern(70_000), "close")
    yield one("until_close_empty", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", "close")
    yield one("connection_close", ok(headers=b"connection: close\r\n"), "close")
    yield one("100_before", b"HTTP/1.1 100 Continue\r\n\r\n" + ok())
    yield one("103_before", b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n" + ok(headers=b"link: </b.css>\r\n"))
    yield one("several_before", b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + b"HTTP/1.1 103 Early\r\nx: y\r\n\r\n" + ok())
    sizes = (0, 1, 2, 255, 256, 4095, 4096, 16_383, 16_384, 16_385, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB, 3 * 1024 * KIB)
    for size in sizes:
        yield one(f"body_of_{size}", ok(pattern(size)))
    yield one("body_of_nul", ok(b"\0" * 1000))
    yield one("body_like_a_response", ok(ok()))
    yield one("body_of_line_ends", ok(b"\r\n\r\n\n\r" * 100))
    yield one("chunked_one", chunked([b"hello"]))
    yield one("chunked_empty", chunked([]))
    yield one("chunked_of_one_byte_each", chunked([bytes([i]) for i in range(256)]))
    yield one("chunked_odd", chunked([pattern(n) for n in (1, 7, 4095, 4096, 4097, 3, 65_535, 65_537, 9)]))
    yield one("chunked_large", chunked([pattern(1024 * KIB)] * 2))
    yield one("chunk_extensions", ok()[:17] + b"transfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0;last\r\n\r\n")
    yield one("chunk_sizes_in_capitals", ok()[:17] + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n00\r\n\r\n")
    yield one("trailers", chunked([b"hello"], b"x-sum: 1\r\nx-other: 2\r\nx-sum: 3\r\n", b"trailer: x-sum\r\n"))
    yield one("set_cookie_twice", ok(headers=b"set-cookie: a=1; path=/\r\nset-cookie: b=2; httponly\r\n"))
    yield one("repeated", ok(headers=b"x-a: 1\r\nx-b: 2\r\nx-a: 3\r\nX-A: 4\r\n"))
    yield one("empty_value", ok(headers=b"x-empty:\r\nx-blank:   \r\n"))
    yield one("blanks_around", ok(headers=b"x-a:   padded \t \r\nx-b:tight\r\nx-c:\ttab\r\n"))
    yield one("blanks_within", ok(headers=b"x-a: a  b\tc\r\n"))
    yield one("long_value", ok(headers=b"x-long: " + b"v" * 8000 + b"\r\n"))
    yield one("long_name", ok(headers=b"x-" + b"n" * 1000 + b": 1\r\n"))
    yield one("many", ok(headers=b"".join(b"x-%d: %d\r\n" % (i, i) for i in range(100))))
    yield one("utf8", ok(headers="x-name: Zürich, 東京\r\n".encode()))
    yield one("obs_text", ok(headers=b"x-latin: caf\xe9 \xff\x80\r\n"))
    yield one("odd_names", ok(headers=b"!#$%&'*+-.^_`|~9: token\r\n"))
    yield one("capitals", b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2\r\nX-Mixed-Case: Kept\r\n\r\nok")
    yield one("colons_in_value", ok(headers=b"x-time: 12:30:45\r\nx-url: http://a:1/b:c\r\n"))
    yield one("lengths_that_agree", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok")
    yield one("length_with_zeros", b"HTTP/1.1 200 OK\r\ncontent-length: 00002\r\n\r\nok")
    encoded = gzip.compress(b"compressed " * 100, mtime=0)
    asked: Tuple[Tuple[str, bytes], ...] = (("accept-encoding", b"gzip"),)
    yield one("compressed_and_left_so", ok(encoded, b"content-encoding: gzip\r\n"), headers=asked)
    raw = zlib.compressobj(wbits=-15)
    for name, coding, data in (
        ("gzip", b"gzip", encoded),
        ("x_gzip", b"x-gzip", encoded),
        ("deflate_zlib", b"deflate", zlib.compress(pattern(100_000))),
        ("deflate_raw", b"deflate", raw.compress(pattern(100_000)) + raw.flush()),
        ("identity", b"identity", b"as it is"),
        ("gzip_of_nothing", b"gzip", gzip.compress(b"", mtime=0)),
    ):
        yield one(f"decoded_{name}", ok(data, b"content-encoding: " + coding + b"\r\n"), decode=True)
    yield one("decoded_chunked", chunked([encoded[:5], encoded[5:]], headers=b"content-encoding: gzip\r\n"), decode=True)
    yield one("range", ok(b"2345", b"content-range: bytes 2-5/10\r\n", b"206 Partial"), headers=(("range", b"bytes=2-5"),))
    yield one("challenge", ok(b"no", b"www-authenticate: Basic realm=\"a b\"\r\n", b"401 Unauthorized"))
    yield Scenario("reply_by_tls", "/reply/by_tls", reply=ok(pattern(100_000)), server="scripted_tls")
    yield Scenario("reply_by_tls_chunked", "/reply/by_tls_c", reply=chunked([pattern(50_000)] * 3), server="scripted_tls")
    yield Scenario("reply_by_tls_head", "/r/h", "HEAD", reply=b"HTTP/1.1 200 OK\r\n\r\n", server="scripted_tls", then="close")


def requests() -> Iterator[Scenario]:
    """Requests of all shapes; the origin must get the same of both."""

    def one(name: str, path: Optional[str] = None, method: str = "GET", **more: object) -> Scenario:
        return Scenario(f"request_{name}", path or f"/request/{name}", method, reply=ok(), **more)  # type: ignore[arg-type]

    for method in ("GET", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "X-OWN"):
        yield one(f"method_{method.lower()}", method=method)
    for method in ("POST", "PUT", "PATCH"):
        yield one(f"method_{method.lower()}_without_body", method=method, body=b"")
        yield one(f"method_{method.lower()}_with_body", method=method, body=b"a body")
    yield one("method_delete_with_body", method="DELETE", body=b"which one")
    yield one("method_get_with_body", method="GET", body=b"odd, and allowed")
    sizes = (1, 4096, 16_384, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB, 3 * 1024 * KIB)
    for size in sizes:
        yield one(f"body_of_{size}", method="POST", body=pattern(size))
    form = (("content-type", b"application/x-www-form-urlencoded"),)
    yield one("form", method="POST", headers=form, body=b"a=1&b=%20x+y")
    yield one("json", method="POST", headers=(("content-type", b"application/json"),), body=b'{"a": [1, 2.50, "\\u00e9"]}')
    parts = b'--b\r\ncontent-disposition: form-data; name="f"; filename="x"\r\n\r\n\x00\xff\r\n--b--\r\n'
    yield one("multipart", method="POST", headers=(("content-type", b"multipart/form-data; boundary=b"),), body=parts)
    yield one("root", "/?root")
    yield one("query", "/request/query?a=1&b=2&a=3")
    yield one("query_empty", "/request/query_empty?")
    yield one("query_of_marks", "/request/query_marks?x=/?:@!$'()*+,;=-._~")
    yield one("query_encoded", "/request/query_encoded?x=%00%20%2F%3f%e2%82%ac&y=a+b")
    yield one("path_encoded", "/request/a%20b%2Fc%e9%25")
    yield one("path_of_marks", "/request/marks/!$&'()*+,;=:@-._~")
    yield one("path_with_empty_segments", "/request//double///slash/")
    yield one("path_long", "/request/" + "p" * 4000)
    yield one("query_long", "/request/query_long?" + "q=" + "v" * 6000)
    yield one("header_repeated", headers=(("x-a", b"1"), ("x-b", b"2"), ("x-a", b"3")))
    yield one("header_empty", headers=(("x-empty", b""),))
    yield one("header_long", headers=(("x-long", b"v" * 8000),))
    yield one("header_utf8", headers=(("x-name", "Zürich 東京".encode()),))
    yield one("header_obs_text", headers=(("x-latin", b"caf\xe9\xff"),))
    yield one("header_of_marks", headers=(("x-marks", b"\"quoted, string\"; a=\\b \t c"),))
    yield one("headers_many", headers=tuple((f"x-{i}", b"%d" % i) for i in range(100)))
    yield one("cookies", headers=(("cookie", b"a=1; b=\"2\"; c="),))
    yield one("authorization", headers=(("authorization", b"Basic dXNlcjpwYXNz"),))
    yield one("bearer", headers=(("authorization", b"Bearer abc.def-ghi_jkl~+/=="),))
    yield one("own_accept", headers=(("accept", b"application/json;q=0.9, */*;q=0.1"),))
    yield one("conditions", headers=(("if-none-match", b'"a", W/"b"'), ("if-modified-since", b"Mon, 01 Jan 2024 00:00:00 GMT")))
    yield one("range", headers=(("range", b"bytes=0-0,-1"), ("if-range", b'"tag"')))
    yield one("origin_and_referer", headers=(("origin", b"https://a.test"), ("referer", b"https://a.test/x?y")))
    yield one("by_tls", server="scripted_tls", method="POST", headers=(("x-a", b"1"),), body=pattern(100_000))


def real() -> Iterator[Scenario]:
    """The same of real servers, by HTTP/1.1 and HTTP/2."""
    ports = ("HTTP", "TLS_HTTP_1_1", "H2C", "TLS_HTTP_2")
    for server, port in [(server, port) for server in ("nginx", "apache") for port in ports]:

        def one(name: str, path: str, method: str = "GET", **more: object) -> Scenario:
            return Scenario(f"{server}_{port}_{name}".lower(), path, method, server=server, port=port, **more)  # type: ignore  # noqa: B023

        yield one("file", "/1k")
        yield one("empty_file", "/nothing")
        yield one("page", "/page.html")
        yield one("head", "/page.html", "HEAD")
        yield one("204", "/empty")
        yield one("404", "/not-there")
        yield one("chunked", "/chunked/page.html")
        yield one("compressed_and_left_so", "/compressed/page.html", headers=(("accept-encoding", b"gzip"),))
        yield one("compressed_and_decoded", "/compressed/page.html", decode=True)
        if server == "apache":
            yield one("brotli_decoded", "/brotli/page.html", decode=True)
        yield one("range", "/1k", headers=(("range", b"bytes=10-19"),))
        yield one("range_of_end", "/1k", headers=(("range", b"bytes=-1"),))
        yield one("range_beyond", "/1k", headers=(("range", b"bytes=5000-6000"),))
        yield one("not_modified", "/1k", headers=(("if-modified-since", b"Fri, 01 Jan 2100 00:00:00 GMT"),))
        yield one("precondition_failed", "/1k", headers=(("if-match", b'"other"'),))
        yield one("redirect", "/moved")
        # curl 7.88 fails to follow with prior knowledge ("Error in the HTTP2 framing layer").
        if port != "H2C":
            yield one("redirect_followed", "/moved", follow=True)
        # Where Apache answers and resets a stream before curl 7.88 has sent the body, it is that curl that fails (1 of 20
        # over TLS). test_real_servers.py follows this one over HTTP/2 too.
        if port != "H2C" and not (server == "apache" and port == "TLS_HTTP_2"):
            yield one("redirect_followed_by_get", "/moved-to-get", "POST", body=b"gone", follow=True)
        yield one("method_not_allowed", "/1k", "DELETE")
        yield one("query", "/hello.txt?a=%20b&c")
        yield one("many_headers", "/hello.txt", headers=tuple((f"x-header-{i}", b"v" * 50) for i in range(60)))
    for port in ("H2C", "TLS_HTTP_2"):
        for name, path, method, body in (
            ("file", "/1k", "GET", None),
            ("page", "/page.html", "GET", None),
            ("head", "/page.html", "HEAD", None),
            ("404", "/not-there", "GET", None),
            ("redirect", "/folder", "GET", None),
            ("echo", "/echo", "POST", pattern(200_000)),
            ("echo_put", "/echo", "PUT", b"x"),
        ):
            yield Scenario(f"nghttpd_{port}_{name}".lower(), path, method, body=body, server="nghttpd", port=port)


SCENARIOS = [*replies(), *requests(), *real()]

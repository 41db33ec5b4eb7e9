"""What people run as origins, each in every way that it can be spoken to: nginx, Apache httpd, nghttpd, httpbin."""

import dataclasses
import gzip
import json
from typing import Any, Dict, List, Optional

import pytest
from calls import Client, duration, fetch_request, header_of, response_of
from fetchd.v1 import fetch_pb2 as pb
from real_origins import Httpbin
from server_process import Fetchd
from web_servers import BIG, FILES, PAGE

pytestmark = pytest.mark.usefixtures("quiet")


@dataclasses.dataclass(frozen=True)
class Line:
    """A server and how it is spoken to."""

    server: str
    port: str
    http2: bool

    def __str__(self) -> str:
        return f"{self.server}-{self.port.lower()}"


PORTS = {"HTTP": False, "TLS_HTTP_1_1": False, "H2C": True, "TLS_HTTP_2": True}
LINES = [
    Line(server, port, http2)
    for server in ("nginx", "apache", "nghttpd")
    for port, http2 in PORTS.items()
    if http2 or server != "nghttpd"
]


class Speaker:
    """Asks one server in one way."""

    def __init__(self, client: Client, line: Line, server: Any):
        self.client, self.line, self.server = client, line, server

    def request(self, path: str, **more: Any) -> pb.FetchRequest:
        """A request with a full trace."""
        request = fetch_request(self.server.url(path, self.line.port), **more)
        request.explain = pb.EXPLAIN_FULL
        if self.line.port == "H2C":
            request.transport.http_version = pb.HTTP_VERSION_HTTP_2
        request.timeouts.total.CopyFrom(duration(60))
        return request

    def fetch(self, path: str, status: int = 200, **more: Any) -> pb.HttpResponse:
        """The response; checks which version was spoken."""
        reply = self.client.fetch(self.request(path, **more))
        self.check(reply.trace)
        return response_of(reply, status)

    def check(self, trace: pb.Trace) -> None:
        """All of it was spoken in the version of the line."""
        assert trace.attempts
        wanted = pb.HTTP_VERSION_HTTP_2 if self.line.http2 else pb.HTTP_VERSION_HTTP_1_1
        assert {attempt.http_version for attempt in trace.attempts} == {wanted}

    def has(self, *servers: str) -> None:
        """Skips the test for a server that cannot do it."""
        if self.line.server not in servers:
            pytest.skip(f"{self.line.server} has none")


@pytest.fixture(params=LINES, ids=str)
def speaker(request: pytest.FixtureRequest, client: Client) -> Speaker:
    """Each line."""
    return Speaker(client, request.param, request.getfixturevalue(request.param.server))


def test_keep_alive(speaker: Speaker) -> None:
    replies = [speaker.client.fetch(speaker.request("/1k")) for _ in range(4)]
    for reply in replies:
        assert response_of(reply).body == FILES["1k"]
        speaker.check(reply.trace)
    reused = [reply.trace.attempts[0].reused_connection for reply in replies]
    assert reused[1:] == [True, True, True]


def test_files_of_many_sizes(speaker: Speaker) -> None:
    for name in ("nothing", "hello.txt", "1k", "page.html"):
        response = speaker.fetch("/" + name)
        assert response.body == FILES[name]
        assert header_of(response, "content-length") == b"%d" % len(FILES[name])


def test_a_large_body_down(speaker: Speaker) -> None:
    call = speaker.client.stream(speaker.request("/big"))
    assert call.read() == BIG
    assert call.head is not None and call.head.status == 200
    assert call.tail is not None and not call.tail.HasField("error"), call.tail
    speaker.check(call.tail.trace)


def pieces(size: int) -> Any:
    """The large body in pieces."""
    return (BIG[at : at + size] for at in range(0, len(BIG), size))


@pytest.mark.parametrize("length", [len(BIG), None], ids=["of_known_length", "of_unknown_length"])
def test_a_large_body_up(speaker: Speaker, length: Optional[int]) -> None:
    path = f"/upload/{speaker.line}-{length}"
    call = speaker.client.upload(speaker.request(path, method="PUT"), pieces(100_000), length=length)
    answer = call.read()
    assert call.tail is not None and not call.tail.HasField("error"), call.tail
    speaker.check(call.tail.trace)
    assert call.head is not None
    if speaker.line.server == "nghttpd":
        # It sends back what it got.
        assert (call.head.status, answer == BIG) == (200, True)
        return
    assert call.head.status in (201, 204)
    back = speaker.client.stream(speaker.request(path))
    assert back.read() == BIG


def test_large_bodies_both_ways_at_once(speaker: Speaker) -> None:
    if not (speaker.line.server == "nghttpd" or (speaker.line.server == "apache" and not speaker.line.http2)):
        pytest.skip("has no echo")
    call = speaker.client.upload(speaker.request("/echo", method="POST"), pieces(64 * 1024), length=len(BIG))
    assert call.read() == BIG
    assert call.tail is not None and not call.tail.HasField("error"), call.tail


def test_a_body_in_memory_up(speaker: Speaker) -> None:
    speaker.has("nginx", "apache")
    body = BIG[: 1024 * 1024]
    path = f"/upload/{speaker.line}-unary"
    speaker.fetch(path, 201, method="PUT", body=body)
    assert speaker.fetch(path).body == body
    # Asked again, it is replaced.
    assert speaker.fetch(path, 204, method="PUT", body=b"x").body == b""
    assert speaker.fetch(path).body == b"x"


def test_head(speaker: Speaker) -> None:
    got, head = speaker.fetch("/page.html"), speaker.fetch("/page.html", method="HEAD")
    assert head.body == b""
    assert header_of(head, "content-length") == header_of(got, "content-length") == b"%d" % len(PAGE)
    # Nothing of a body is left on the connection.
    assert speaker.fetch("/hello.txt").body == b"hello\n"


def test_204(speaker: Speaker) -> None:
    speaker.has("nginx", "apache")
    for _ in range(2):
        assert speaker.fetch("/empty", 204).body == b""


def test_304(speaker: Speaker) -> None:
    first = speaker.fetch("/1k")
    modified = header_of(first, "last-modified")
    assert modified is not None
    conditions = [("if-modified-since", modified)]
    if speaker.line.server != "nghttpd":
        conditions.append(("if-none-match", header_of(first, "etag") or b""))
    for condition in conditions:
        assert speaker.fetch("/1k", 304, headers=[condition]).body == b""
        assert speaker.fetch("/1k").body == FILES["1k"]


def test_404(speaker: Speaker) -> None:
    assert speaker.fetch("/not-there", 404).body


def test_a_range(speaker: Speaker) -> None:
    speaker.has("nginx", "apache")
    response = speaker.fetch("/1k", 206, headers=[("range", b"bytes=100-199")])
    assert response.body == FILES["1k"][100:200]
    assert header_of(response, "content-range") == b"bytes 100-199/1024"
    speaker.fetch("/1k", 416, headers=[("range", b"bytes=5000-")])


def test_chunked(speaker: Speaker) -> None:
    speaker.has("nginx", "apache")
    response = speaker.fetch("/chunked/page.html")
    assert response.body == PAGE
    assert header_of(response, "content-length") is None
    assert header_of(response, "transfer-encoding") == (None if speaker.line.http2 else b"chunked")


def test_compressed(speaker: Speaker) -> None:
    speaker.has("nginx", "apache")
    response = speaker.fetch("/compressed/page.html", headers=[("accept-encoding", b"gzip")])
    assert header_of(response, "content-encoding") == b"gzip"
    assert gzip.decompress(response.body) == PAGE
    # Asked for by fetchd itself, it is decoded.
    response = speaker.fetch("/compressed/page.html")
    assert (response.body, list(response.decoded)) == (PAGE, ["gzip"])
    if speaker.line.server == "apache":
        response = speaker.fetch("/brotli/page.html")
        assert (response.body, list(response.decoded)) == (PAGE, ["br"])


def test_a_redirect_is_a_response(speaker: Speaker) -> None:
    if speaker.line.server == "nghttpd":
        response = speaker.fetch("/folder", 301)
    else:
        response = speaker.fetch("/moved", 302)
    location = header_of(response, "location")
    assert location is not None and location.endswith(b"/folder/" if speaker.line.server == "nghttpd" else b"/hello.txt")


def test_redirects_are_followed(speaker: Speaker) -> None:
    if speaker.line.server == "nghttpd":
        moves = [("/folder", "GET", b"", b"in a folder\n")]
    else:
        moves = [("/moved", "GET", b"", b"hello\n"), ("/moved-to-get", "POST", b"gone", b"hello\n")]
    for path, method, body, expected in moves:
        request = speaker.request(path, method=method, body=body)
        request.redirects.mode = pb.RedirectPolicy.MODE_SAME_ORIGIN
        reply = speaker.client.fetch(request)
        assert response_of(reply).body == expected
        assert len(reply.response.redirects) == 1
        speaker.check(reply.trace)


def test_a_redirect_that_keeps_the_body(speaker: Speaker) -> None:
    speaker.has("nginx", "apache")
    request = speaker.request("/moved-for-good", method="PUT", body=BIG[:300_000])
    request.redirects.mode = pb.RedirectPolicy.MODE_SAME_ORIGIN
    reply = speaker.client.fetch(request)
    assert reply.response.status in (201, 204), reply
    assert [redirect.status for redirect in reply.response.redirects] == [308]
    assert speaker.fetch("/upload/moved").body == BIG[:300_000]


def test_trailers(speaker: Speaker) -> None:
    speaker.has("nghttpd")
    for _ in range(2):
        response = speaker.fetch("/page.html")
        assert header_of(response, "x-trailer") is None
        assert [(field.name, field.value) for field in response.trailers] == [("x-trailer", b"nghttpd")]
    call = speaker.client.stream(speaker.request("/big"))
    assert call.read() == BIG
    assert call.tail is not None
    assert [(field.name, field.value) for field in call.tail.trailers] == [("x-trailer", b"nghttpd")]


def test_a_hundred_at_once(speaker: Speaker, fetchd: Fetchd) -> None:
    names: List[str] = ["1k", "hello.txt", "page.html", "nothing"]
    requests = [speaker.request("/" + names[i % 4]) for i in range(100)]
    results: Dict[int, Any] = {}
    for message in speaker.client.batch(requests, max_concurrency=100):
        results.update({result.index: result.fetch for result in message.results})
    assert len(results) == 100
    for index, reply in results.items():
        assert response_of(reply).body == FILES[names[index % 4]]
        speaker.check(reply.trace)


# httpbin speaks HTTP/1.1 alone.


def test_httpbin_keep_alive(client: Client, httpbin: Httpbin) -> None:
    for i in range(3):
        request = fetch_request(httpbin.url("/uuid"))
        request.explain = pb.EXPLAIN_FULL
        reply = client.fetch(request)
        response_of(reply)
        assert i == 0 or reply.trace.attempts[0].reused_connection


def test_httpbin_large_bodies_both_ways(client: Client, httpbin: Httpbin) -> None:
    # It has no large file of its own; what is sent to it comes back in a string of JSON.
    text = b"0123456789abcdef" * (len(BIG) // 16)
    sent = (text[at : at + 65536] for at in range(0, len(text), 65536))
    call = client.upload(httpbin.url("/post"), sent, length=len(text), method="POST")
    echoed = call.read()
    assert call.tail is not None and not call.tail.HasField("error")
    assert text in echoed


def test_httpbin_statuses_and_forms(client: Client, httpbin: Httpbin) -> None:
    assert response_of(client.fetch(httpbin.url("/status/204")), 204).body == b""
    head = response_of(client.fetch(httpbin.url("/bytes/1000?seed=1"), method="HEAD"))
    assert (head.body, header_of(head, "content-length")) == (b"", b"1000")
    tagged = client.fetch(httpbin.url("/etag/abc"), headers=[("if-none-match", b"abc")])
    assert response_of(tagged, 304).body == b""
    chunked = response_of(client.fetch(httpbin.url("/stream-bytes/50000?seed=3&chunk_size=777")))
    assert (len(chunked.body), header_of(chunked, "transfer-encoding")) == (50_000, b"chunked")
    compressed = response_of(client.fetch(httpbin.url("/gzip"), headers=[("accept-encoding", b"gzip")]))
    assert json.loads(gzip.decompress(compressed.body))["gzipped"] is True
    moved = response_of(client.fetch(httpbin.url("/redirect/2")), 302)
    assert header_of(moved, "location") == b"/relative-redirect/1"


def test_httpbin_decoded_and_followed(client: Client, httpbin: Httpbin) -> None:
    for path, coding, member in (("/gzip", "gzip", "gzipped"), ("/deflate", "deflate", "deflated"), ("/brotli", "br", "brotli")):
        response = response_of(client.fetch(httpbin.url(path)))
        assert list(response.decoded) == [coding]
        assert json.loads(response.body)[member] is True
    request = fetch_request(httpbin.url("/redirect/3"))
    request.redirects.mode = pb.RedirectPolicy.MODE_SAME_ORIGIN
    response = response_of(client.fetch(request))
    assert [redirect.status for redirect in response.redirects] == [302] * 3
    assert json.loads(response.body)["url"] == httpbin.url("/get")

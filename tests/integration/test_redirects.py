"""Redirects: which are followed, with what request, how far, and what the caller is told of the way."""

import itertools
import ssl
import threading
from typing import Any, Dict, Iterator, List, Optional, Tuple

import grpc
import pytest
from calls import Client, checked_error, error_of, fetch_request, header_of, response_of, violations
from conftest import StartFetchd
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from real_origins import Certificates, Httpbin, Nginx, refusing_port
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("quiet")

FOLLOW, SAME_ORIGIN = pb.RedirectPolicy.MODE_FOLLOW, pb.RedirectPolicy.MODE_SAME_ORIGIN


@pytest.fixture
def elsewhere() -> Iterator[ScriptedOrigin]:
    """Another origin."""
    server = ScriptedOrigin()
    yield server
    server.stop()


def following(url: str, mode: int = FOLLOW, most: int = 0, **more: Any) -> pb.FetchRequest:
    """A request that follows redirects."""
    request = fetch_request(url, **more)
    request.redirects.mode = mode
    request.redirects.max_redirects = most
    return request


def redirect(origin: ScriptedOrigin, path: str, to: str, status: int = 302, body: bytes = b"moved") -> str:
    """Redirects `path`; returns its URL."""
    return origin.route(path, lambda c: c.reply(body, status, (("location", to),)))


def chain(message: Any) -> List[Tuple[int, str]]:
    """Status and URL of each redirect."""
    return [(step.status, step.url) for step in message.redirects]


def seen(origin: ScriptedOrigin, path: str) -> Any:
    """The last request of a path."""
    return next(request for request in reversed(origin.requests) if request.target.split("?")[0] == path)


class TestModes:
    def test_by_default_a_redirect_is_a_response(self, client: Client, origin: ScriptedOrigin) -> None:
        url = redirect(origin, "/a", "/b")
        response = response_of(client.fetch(url), 302)
        assert header_of(response, "location") == b"/b" and response.body == b"moved" and not response.redirects
        none = following(url, pb.RedirectPolicy.MODE_NONE)
        assert response_of(client.fetch(none), 302).body == b"moved"
        assert origin.count("/b") == 0

    def test_bad_policies(self, client: Client, origin: ScriptedOrigin) -> None:
        with pytest.raises(grpc.RpcError) as refused:
            client.fetch(following(origin.url("/a"), most=21))
        assert set(violations(refused.value)) == {"redirects.max_redirects"}
        with pytest.raises(grpc.RpcError) as refused:
            client.fetch(following(origin.url("/a"), mode=9))
        assert set(violations(refused.value)) == {"redirects.mode"}

    def test_same_origin(self, client: Client, origin: ScriptedOrigin, elsewhere: ScriptedOrigin) -> None:
        origin.route("/end", lambda c: c.reply(b"here"))
        near, far = redirect(origin, "/near", "/end"), redirect(origin, "/far", elsewhere.url("/x"))
        assert response_of(client.fetch(following(near, SAME_ORIGIN))).body == b"here"
        error = error_of(client.fetch(following(far, SAME_ORIGIN)), pb.REDIRECT_ORIGIN_PROHIBITED)
        assert error.partial_response.status == 302 and error.processed == pb.PROCESSED_YES and not error.retryable
        assert error.url == far and not elsewhere.requests

    @pytest.mark.parametrize("status", [201, 300, 304, 305, 306, 404])
    def test_a_location_elsewhere_means_nothing(self, client: Client, origin: ScriptedOrigin, status: int) -> None:
        url = redirect(origin, "/a", "/b", status, b"")
        assert client.fetch(following(url)).response.status == status
        assert origin.count("/b") == 0

    def test_without_location(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/a", lambda c: c.reply(b"lost", 302))
        assert response_of(client.fetch(following(url)), 302).body == b"lost"


class TestRequests:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
    def test_method_and_body(self, client: Client, origin: ScriptedOrigin, method: str, status: int) -> None:
        url = redirect(origin, "/a", "/end", status, b"" if method == "HEAD" else b"moved")
        origin.route("/end", lambda c: c.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
        body = b"" if method in ("GET", "HEAD") else b"payload"
        headers = [("content-type", b"text/plain"), ("content-language", b"en"), ("x-kept", b"1")]
        response = response_of(client.fetch(following(url, method=method, body=body, headers=headers)))
        assert chain(response) == [(status, origin.url("/end"))]
        arrived = seen(origin, "/end")
        drops = status == 303 or (status in (301, 302) and method == "POST")
        assert arrived.method == (method if not drops or method == "HEAD" else "GET")
        assert arrived.body == (b"" if drops else body) and arrived.header("x-kept") == b"1"
        assert (arrived.header("content-type") is None) == drops == (arrived.header("content-language") is None)
        if drops:
            assert arrived.header("content-length") is None

    def test_secrets_stay_with_their_origin(
        self, client: Client, origin: ScriptedOrigin, elsewhere: ScriptedOrigin
    ) -> None:
        """To another port and back: what was dropped is not restored."""
        secrets = ["authorization", "cookie", "proxy-authorization", "proxy-thing", "x-api-key", "x-secret"]
        url = redirect(origin, "/1", "/2", 307)
        redirect(origin, "/2", elsewhere.url("/3"), 307)
        redirect(elsewhere, "/3", origin.url("/4"), 307)
        origin.route("/4", lambda c: c.reply(b"back"))
        request = following(url, method="PUT", body=b"b", headers=[(name, b"hidden") for name in secrets])
        request.headers[-1].sensitive = True
        request.headers.add(name="x-open", value=b"shown")
        response = response_of(client.fetch(request))
        assert [status for status, _ in chain(response)] == [307, 307, 307] and response.body == b"back"
        for path in ("/1", "/2"):
            assert all(seen(origin, path).header(name) == b"hidden" for name in secrets)
        for arrived in (seen(elsewhere, "/3"), seen(origin, "/4")):
            assert b"hidden" not in arrived.head and arrived.header("x-open") == b"shown" and arrived.body == b"b"

    def test_another_name_is_another_origin(self, client: Client, origin: ScriptedOrigin) -> None:
        url = redirect(origin, "/a", origin.url("/b", host="origin.test"))
        origin.route("/b", lambda c: c.reply(b"end"))
        assert response_of(client.fetch(following(url, headers=[("authorization", b"hidden")]))).body == b"end"
        assert seen(origin, "/b").header("authorization") is None
        assert seen(origin, "/b").header("host") == f"origin.test:{origin.port}".encode()

    @pytest.mark.parametrize(
        "location, target",
        [
            ("c", "/d/c"),
            ("../c", "/c"),
            ("?x=1", "/d/a?x=1"),
            ("//{self}/c", "/c"),
            ("/c#part", "/c"),
            ("/é", "/%C3%A9"),
        ],
    )
    def test_locations(self, client: Client, origin: ScriptedOrigin, location: str, target: str) -> None:
        location = location.replace("{self}", f"127.0.0.1:{origin.port}")

        def script(connection: Connection) -> None:
            assert connection.request is not None
            if connection.request.target != "/d/a":
                return connection.reply(b"end")
            connection.send(b"HTTP/1.1 302 F\r\nlocation: " + location.encode() + b"\r\ncontent-length: 0\r\n\r\n")

        for path in ("/d/a", target.split("?")[0]):
            origin.route(path, script)
        response = response_of(client.fetch(following(origin.url("/d/a"))))
        assert response.body == b"end" and chain(response) == [(302, origin.url(target))]

    def test_streamed_bodies(self, client: Client, origin: ScriptedOrigin) -> None:
        """What was streamed cannot be sent again; where the body is dropped it need not be."""
        origin.route("/end", lambda c: c.reply(b"end"))
        for status in (307, 308):
            call = client.upload(following(redirect(origin, "/a", "/end", status), method="POST"), [b"x" * 1000])
            assert call.read() == b"moved" and call.head is not None and call.head.status == status
            assert not call.head.redirects and not call.tail.error.code
        assert origin.count("/end") == 0
        for status in (301, 302, 303):
            call = client.upload(following(redirect(origin, "/a", "/end", status), method="POST"), [b"x" * 1000])
            assert call.read() == b"end" and call.head is not None and call.head.status == 200
            assert chain(call.head) == [(status, origin.url("/end"))]
            assert seen(origin, "/end").method == "GET" and seen(origin, "/end").header("transfer-encoding") is None

    def test_a_redirect_before_the_upload_is_over(self, client: Client, origin: ScriptedOrigin) -> None:
        """The rest of the body has nowhere to go, and the caller may go on sending it all the same."""
        answered = threading.Event()

        def early(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 303 See\r\nlocation: /end\r\ncontent-length: 0\r\n\r\n")
            connection.hold()

        def end(connection: Connection) -> None:
            answered.set()
            connection.reply(b"end")

        origin.route("/a", early, read_body=False)
        origin.route("/end", end)

        def chunks() -> Iterator[bytes]:
            yield b"x" * 65536
            assert answered.wait(20)
            for _ in range(4):
                yield b"x" * 65536

        call = client.upload(following(origin.url("/a"), method="POST"), chunks())
        assert call.read() == b"end" and not call.tail.error.code


class TestRefused:
    @pytest.mark.parametrize(
        "location",
        ["http://user:pass@127.0.0.1/", "http://", "http://127.0.0.1:99999/", "http://2130706433/", "/" + "x" * 9000],
    )
    def test_bad_locations(self, client: Client, origin: ScriptedOrigin, location: str) -> None:
        url = redirect(origin, "/a", location)
        error = error_of(client.fetch(following(url)), pb.REDIRECT_INVALID, pb.PHASE_RECEIVE)
        assert error.partial_response.status == 302 and header_of(error.partial_response, "location")
        assert "pass" not in error.message

    def test_two_locations(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/a", lambda c: c.reply(b"", 302, (("location", "/b"), ("Location", "/c"))))
        error_of(client.fetch(following(url)), pb.REDIRECT_INVALID, pb.PHASE_RECEIVE)

    def test_from_https_to_http(self, client: Client, nginx: Nginx, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
        safe = ScriptedOrigin(tls=context)
        try:
            url = redirect(safe, "/a", nginx.url("/hello.txt"))
            error = error_of(client.fetch(following(url)), pb.REDIRECT_INSECURE, pb.PHASE_POLICY)
            assert error.partial_response.status == 302
            # The other way is fine, and is a change of origin.
            open_url = safe.url("/end")
            safe.route("/end", lambda c: c.reply(b"safe"))
            plain = ScriptedOrigin()
            response = response_of(client.fetch(following(redirect(plain, "/a", open_url))))
            assert response.body == b"safe"
            plain.stop()
        finally:
            safe.stop()

    @pytest.mark.parametrize(
        "location, code",
        [
            ("http://10.0.0.1/", pb.DESTINATION_IP_PROHIBITED),
            ("http://169.254.169.254/latest/meta-data", pb.DESTINATION_IP_PROHIBITED),
            ("http://[::ffff:10.0.0.1]/", pb.DESTINATION_IP_PROHIBITED),
            ("http://inside.test/", pb.DESTINATION_IP_PROHIBITED),
            ("http://127.0.0.1:25/", pb.HTTP_REQUEST_DENIED),
            ("ftp://127.0.0.1/", pb.HTTP_REQUEST_DENIED),
            ("file:///etc/passwd", pb.HTTP_REQUEST_DENIED),
        ],
    )
    def test_forbidden_places(
        self, client: Client, origin: ScriptedOrigin, dns: Any, location: str, code: int
    ) -> None:
        dns.names["inside.test"] = ["10.0.0.1"]
        error = error_of(client.fetch(following(redirect(origin, "/a", location))), code)
        if "inside" in location:
            # Known only once the name was resolved, which is the next hop's affair.
            assert error.url == "http://inside.test/" and chain(error) == [(302, "http://inside.test/")]
        else:
            assert error.partial_response.status == 302 and error.url == origin.url("/a") and not error.redirects

    def test_loops_end(self, client: Client, origin: ScriptedOrigin) -> None:
        """An origin that redirects for ever: a hundred in a row, of which as many are followed as allowed."""
        numbers = itertools.count(1)
        for n in range(101):
            redirect(origin, f"/{n}", f"/{n + 1}")
        error = error_of(client.fetch(following(origin.url("/0"))), pb.REDIRECT_LIMIT, pb.PHASE_POLICY)
        assert chain(error) == [(302, origin.url(f"/{n}")) for n in range(1, 11)]
        assert error.url == origin.url("/10") and origin.count("/10") == 1 and origin.count("/11") == 0
        assert not error.partial_response.redirects and error.partial_response.status == 302
        error = error_of(client.fetch(following(origin.url("/0"), most=20)), pb.REDIRECT_LIMIT)
        assert len(error.redirects) == 20
        origin.route("/self", lambda c: c.reply(b"", 302, (("location", f"?{next(numbers)}"),)))
        error_of(client.fetch(following(origin.url("/self"), most=3)), pb.REDIRECT_LIMIT)
        assert origin.count("/self") == 4

    def test_exactly_as_many_as_allowed(self, client: Client, origin: ScriptedOrigin) -> None:
        for n in range(20):
            redirect(origin, f"/{n}", f"/{n + 1}")
        origin.route("/20", lambda c: c.reply(b"end"))
        assert response_of(client.fetch(following(origin.url("/0"), most=20))).body == b"end"
        error_of(client.fetch(following(origin.url("/0"), most=19)), pb.REDIRECT_LIMIT)


class TestHops:
    def test_over_many_owners(self, client: Client) -> None:
        """Origins are shared out over two threads; a chain over eight of them changes threads."""
        origins = [ScriptedOrigin() for _ in range(8)]
        try:
            for at, to in zip(origins, origins[1:]):
                redirect(at, "/hop", to.url("/hop?secret=1"))
            origins[-1].route("/hop", lambda c: c.reply(b"x" * 100_000))
            for _ in range(20):
                response = response_of(client.fetch(following(origins[0].url("/hop"))))
                assert response.body == b"x" * 100_000
                assert chain(response) == [(302, at.url("/hop?secret=1")) for at in origins[1:]]
                call = client.stream(following(origins[0].url("/hop")))
                assert call.read() == b"x" * 100_000 and call.head is not None and len(call.head.redirects) == 7
        finally:
            for at in origins:
                at.stop()

    def test_bodies_of_redirects(self, client: Client, origin: ScriptedOrigin) -> None:
        """Small ones leave the connection as it was; large ones cost it, and are not waited for."""
        origin.route("/end", lambda c: c.reply(b"end"))
        for size, connections in ((0, 1), (65536, 1), (65537, 2)):
            url = redirect(origin, f"/{size}", "/end", 302, b"x" * size)
            before = origin.accepted
            assert response_of(client.fetch(following(url))).body == b"end"
            assert origin.accepted - before == connections - (1 if before else 0), size

        def endless(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 302 F\r\nlocation: /end\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

        assert response_of(client.fetch(following(origin.route("/endless", endless)))).body == b"end"
        # The location counts though the body does not come, or is larger than the caller's limit.
        broken = origin.raw("/broken", b"HTTP/1.1 302 F\r\nlocation: /end\r\ncontent-length: 9\r\n\r\nabc")
        assert response_of(client.fetch(following(broken))).body == b"end"
        url = redirect(origin, "/limited", "/end", 302, b"x" * 100)
        assert response_of(client.fetch(following(url, max_bytes=10))).body == b"end"

    def test_trace_and_log(self, client: Client, fetchd: Fetchd, origin: ScriptedOrigin, elsewhere: ScriptedOrigin):
        answers = iter([503, 302])

        def script(connection: Connection) -> None:
            connection.reply(b"", next(answers), (("location", elsewhere.url("/end?token=secret")),))

        url = origin.route("/a", script)
        elsewhere.route("/end", lambda c: c.reply(b"end"))
        request = following(url)
        request.explain = pb.EXPLAIN_SUMMARY
        request.retry.initial_backoff.FromMilliseconds(1)
        reply = client.fetch(request)
        response_of(reply)
        assert reply.attempts == 3
        assert [(a.number, a.status) for a in reply.trace.attempts] == [(1, 503), (2, 302), (3, 200)]
        began = [a.began.ToNanoseconds() for a in reply.trace.attempts]
        assert began == sorted(began)
        followed = [d for d in reply.trace.decisions if d.rule == "redirect"]
        assert [(d.attempt, d.verdict) for d in followed] == [(2, "followed")]
        assert "302" in followed[0].detail and elsewhere.url("/end") in followed[0].detail
        assert "secret" not in str(reply.trace)
        line, *more = wait_until(
            lambda: [at for at in fetchd.access_log().splitlines() if f"id={reply.fetch_id} " in at], "it is logged"
        )
        assert not more and " redirects=1 " in line and " attempts=3 " in line and " status=200 " in line
        assert elsewhere.url("/end?token=*") in line

    def test_the_deadline_is_one_for_all(self, client: Client, origin: ScriptedOrigin) -> None:
        url = redirect(origin, "/a", "/hang")
        origin.route("/hang", lambda c: c.hold())
        error = error_of(client.fetch(following(url, total=0.5)), pb.TOTAL_TIMEOUT, pb.PHASE_WAIT)
        assert error.url == origin.url("/hang") and chain(error) == [(302, origin.url("/hang"))]

    def test_a_dead_next_origin(self, client: Client, origin: ScriptedOrigin) -> None:
        """Processed stays yes: the first origin has acted on the POST."""
        dead = f"http://127.0.0.1:{refusing_port()}/x"
        error = error_of(
            client.fetch(following(redirect(origin, "/a", dead), method="POST", body=b"b", attempts=1)),
            pb.CONNECTION_REFUSED,
            pb.PHASE_CONNECT,
        )
        assert error.processed == pb.PROCESSED_YES and error.url == dead and chain(error) == [(302, dead)]

    def test_an_origin_that_dies_on_the_way(self, client: Client, origin: ScriptedOrigin, elsewhere: ScriptedOrigin):
        url = redirect(origin, "/a", elsewhere.url("/b"), 307)
        elsewhere.route("/b", lambda c: c.reset())
        error = error_of(client.fetch(following(url, method="POST", body=b"b", attempts=1)), pb.CONNECTION_TERMINATED)
        assert error.processed == pb.PROCESSED_YES and elsewhere.count("/b") == 1

    def test_each_hop_is_attempted_again_by_itself(self, client: Client, origin: ScriptedOrigin) -> None:
        counts: Dict[str, int] = {}

        def script(to: Optional[str]) -> Any:
            def run(connection: Connection) -> None:
                assert connection.request is not None
                target = connection.request.target
                counts[target] = counts.get(target, 0) + 1
                if counts[target] < 3:
                    return connection.reply(b"", 503)
                return connection.reply(b"end") if to is None else connection.reply(b"", 302, (("location", to),))

            return run

        origin.route("/a", script("/b"))
        origin.route("/b", script(None))
        request = following(origin.url("/a"))
        request.retry.initial_backoff.FromMilliseconds(1)
        reply = client.fetch(request)
        assert response_of(reply).body == b"end" and reply.attempts == 6 and counts == {"/a": 3, "/b": 3}

    def test_cancel_during_a_hop(self, client: Client, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
        """On each thread, in each shape."""
        others = [ScriptedOrigin() for _ in range(4)]
        try:
            for other in others:
                arrived, gone = threading.Event(), threading.Event()

                def script(connection: Connection, arrived: Any = arrived, gone: Any = gone) -> None:
                    arrived.set()
                    wait_until(lambda: connection.peer_closed(0.05), "fetchd gives up")
                    gone.set()

                url = redirect(origin, f"/{other.port}", other.route("/hang", script))
                for start in (client.fetch_later, lambda request: client.stream(request).call):
                    arrived.clear()
                    gone.clear()
                    call = start(following(url))
                    assert arrived.wait(20)
                    call.cancel()
                    assert gone.wait(20)
        finally:
            for other in others:
                other.stop()

    def test_cancels_at_any_moment(self, client: Client, fetchd: Fetchd) -> None:
        """Chains that change threads all the time, cancelled at random: none is lost (see `quiet`)."""
        origins = [ScriptedOrigin() for _ in range(4)]
        try:
            for at, to in zip(origins, origins[1:] + origins[:1]):
                redirect(at, "/round", to.url("/round"))
            for round_ in range(40):
                calls = [client.fetch_later(following(origins[i % 4].url("/round"), most=20)) for i in range(10)]
                # As many redirects later as the round has number.
                wait_until(lambda: sum(o.count("/round") for o in origins) > round_ * 5, "the round has begun")
                for call in calls:
                    call.cancel()
            wait_until(fetchd.idle, "nothing is in flight")
        finally:
            for at in origins:
                at.stop()


class TestOtherShapes:
    def test_batch(self, client: Client, origin: ScriptedOrigin, elsewhere: ScriptedOrigin) -> None:
        elsewhere.route("/end", lambda c: c.reply(b"end"))
        url = redirect(origin, "/a", elsewhere.url("/end"))
        loop = redirect(origin, "/loop", "/loop")
        requests = [following(url), fetch_request(url), following(loop), following(url, SAME_ORIGIN)]
        results = {r.index: r.fetch for m in client.batch(requests) for r in m.results}
        assert chain(response_of(results[0])) == [(302, elsewhere.url("/end"))]
        response_of(results[1], 302)
        error_of(results[2], pb.REDIRECT_LIMIT)
        error_of(results[3], pb.REDIRECT_ORIGIN_PROHIBITED)

    def test_stream_tail(self, client: Client, origin: ScriptedOrigin) -> None:
        call = client.stream(following(redirect(origin, "/loop", "/loop")))
        assert call.read() == b"" and call.head is not None and call.head.status == 302
        error = checked_error(call.tail.error, pb.REDIRECT_LIMIT)
        assert len(error.redirects) == 10 and error.url == origin.url("/loop")

    @staticmethod
    def pages(client: Client, request: pb.FetchRequest, **more: Any) -> List[service_pb.FetchPagedResponse]:
        paged = service_pb.FetchPagedRequest(request=request, link_header=service_pb.LinkHeaderStrategy(), **more)
        return list(client.stub.FetchPaged(paged, timeout=30, metadata=client.metadata))

    def test_next_pages_are_relative_to_where_a_page_is_from(self, client: Client, origin: ScriptedOrigin) -> None:
        url = redirect(origin, "/list", "/v2/list/1")
        origin.route("/v2/list/1", lambda c: c.reply(b"[1]", 200, (("link", '<2>; rel="next"'),)))
        origin.route("/v2/list/2", lambda c: c.reply(b"[2]"))
        messages = self.pages(client, following(url))
        assert [m.page.response.body for m in messages[:-1]] == [b"[1]", b"[2]"]
        assert chain(messages[0].page.response) == [(302, origin.url("/v2/list/1"))]
        assert not messages[1].page.response.redirects
        assert messages[-1].end.reason == service_pb.PagedEnd.REASON_LAST_PAGE

    def test_pages_that_lead_back_are_a_loop(self, client: Client, origin: ScriptedOrigin) -> None:
        url = redirect(origin, "/list", "/v2")
        origin.route("/v2", lambda c: c.reply(b"[1]", 200, (("link", '</list>; rel="next"'),)))
        messages = self.pages(client, following(url))
        checked_error(messages[-1].end.error, pb.PAGINATION_LOOP)

    def test_other_origins_need_leave(self, client: Client, origin: ScriptedOrigin, elsewhere: ScriptedOrigin) -> None:
        url = redirect(origin, "/list", elsewhere.url("/list"))
        elsewhere.route("/list", lambda c: c.reply(b"[1]", 200, (("link", '<more>; rel="next"'),)))
        elsewhere.route("/more", lambda c: c.reply(b"[2]"))
        messages = self.pages(client, following(url))
        error = checked_error(messages[-1].end.error, pb.REDIRECT_ORIGIN_PROHIBITED)
        assert error.partial_response.status == 302 and not elsewhere.requests
        messages = self.pages(client, following(url), allow_other_origins=True)
        assert [m.page.response.body for m in messages[:-1]] == [b"[1]", b"[2]"]


def test_httpbin(client: Client, httpbin: Httpbin) -> None:
    response = response_of(client.fetch(following(httpbin.url("/absolute-redirect/3"))))
    assert len(response.redirects) == 3 and response.redirects[-1].url == httpbin.url("/get")
    url = httpbin.url("/redirect-to?url=/post&status_code=307")
    response = response_of(client.fetch(following(url, method="POST", body=b"x=1")))
    assert b'"x=1"' in response.body


def test_drain_during_a_hop(start_fetchd: StartFetchd) -> None:
    """A chain that is under way when the server drains comes to its end on whatever thread it leads to."""
    origins = [ScriptedOrigin() for _ in range(6)]
    server = start_fetchd()
    caller = Client(server.channel())
    arrived, go_on = threading.Event(), threading.Event()
    try:
        for at, to in zip(origins, origins[1:]):
            redirect(at, "/hop", to.url("/hop"))

        def slow(connection: Connection) -> None:
            arrived.set()
            assert go_on.wait(20)
            connection.reply(b"", 302, (("location", origins[1].url("/hop")),))

        origins[0].route("/hop", slow)
        origins[-1].route("/hop", lambda c: c.reply(b"end"))
        call = caller.fetch_later(following(origins[0].url("/hop")))
        assert arrived.wait(20)
        server.signal()
        wait_until(lambda: "draining" in server.log(), "the server drains")
        go_on.set()
        assert response_of(call.result()).body == b"end"
        # Its own end, which a second signal would cut short.
        assert server.wait() == 0
    finally:
        for at in origins:
            at.stop()

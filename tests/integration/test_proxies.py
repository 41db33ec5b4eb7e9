"""Fetches through what people run as proxies: squid, tinyproxy, microsocks and Dante, with and without passwords, to http and
https origins; who may choose a proxy; and what the guard says to it all."""

import dataclasses
import pathlib
from typing import Any, Callable, Dict, Iterator, List, Optional

import grpc
import pytest
from calls import Client, duration, error_of, fetch_request, header_of, headers_of, response_of, violations
from dns_server import DnsServer
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from fetchd.v1 import origin_service_pb2 as origin_pb
from proxy_servers import PASSWORD, USER, Dante, Microsocks, ProxyServer, Squid, Tinyproxy
from real_origins import Nginx, refusing_port
from scripted_origin import ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until
from web_servers import BIG, FILES, PAGE

# By the names that fetchd has for them.
SERVERS: Dict[str, Callable[[], ProxyServer]] = {
    "squid": Squid,
    "squid-password": lambda: Squid(PASSWORD),
    "tinyproxy": Tinyproxy,
    "tinyproxy-password": lambda: Tinyproxy(PASSWORD),
    "microsocks": Microsocks,
    "microsocks-password": lambda: Microsocks(PASSWORD),
    "dante": Dante,
}


@dataclasses.dataclass(frozen=True)
class Line:
    """A proxy, and a port of nginx behind it."""

    proxy: str
    port: str

    @property
    def forwards(self) -> bool:
        """The proxy reads the requests, rather than passing bytes on."""
        return self.port == "HTTP" and self.proxy.partition("-")[0] in ("squid", "tinyproxy")

    @property
    def keeps_alive(self) -> bool:
        return not (self.forwards and self.proxy.startswith("tinyproxy"))

    def __str__(self) -> str:
        return f"{self.proxy}-{self.port.lower()}"


LINES = [Line(proxy, port) for proxy in SERVERS for port in ("HTTP", "TLS_HTTP_1_1", "TLS_HTTP_2")]
LINES += [Line(proxy, "H2C") for proxy in ("squid", "microsocks")]


@pytest.fixture(scope="module")
def proxies() -> Iterator[Dict[str, ProxyServer]]:
    """All of them."""
    started: Dict[str, ProxyServer] = {}
    try:
        for name, make in SERVERS.items():
            started[name] = make()
            started[name].start()
        yield started
    finally:
        for proxy in started.values():
            proxy.stop()


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What fetchd is to read the password from."""
    path = tmp_path_factory.mktemp("secrets") / "password"
    path.write_text(PASSWORD + "\n")
    return path


def proxy_config(name: str, proxy: ProxyServer, password_file: Optional[pathlib.Path] = None, **more: Any) -> Dict[str, Any]:
    """An item of `proxies`, which requests may name."""
    config = {"name": name, "url": proxy.url, "on_request": True, **more}
    if password_file is not None:
        config.update(username=USER, password_file=str(password_file))
    return config


@pytest.fixture(scope="module")
def server(start_fetchd: Any, proxies: Dict[str, ProxyServer], password_file: pathlib.Path) -> Fetchd:
    """A fetchd that knows them all, and lets requests choose."""
    items = [
        proxy_config(name, proxy, password_file if proxy.password is not None else None) for name, proxy in proxies.items()
    ]
    return start_fetchd(proxies=items)


@pytest.fixture(scope="module")
def caller(server: Fetchd) -> Client:
    return Client(server.channel())


@pytest.fixture(autouse=True)
def nothing_is_left(server: Fetchd) -> Iterator[None]:
    """No test leaves anything in flight or leased behind."""
    yield
    wait_until(server.idle, "nothing is in flight or leased")


class Speaker:
    """Asks nginx through one proxy."""

    def __init__(self, client: Client, line: Line, nginx: Nginx):
        self.client, self.line, self.nginx = client, line, nginx

    def request(self, path: str, **more: Any) -> pb.FetchRequest:
        """A request with a full trace."""
        request = fetch_request(self.nginx.url(path, self.line.port), **more)
        request.explain = pb.EXPLAIN_FULL
        request.transport.proxy = self.line.proxy
        if self.line.port == "H2C":
            request.transport.http_version = pb.HTTP_VERSION_HTTP_2
        request.timeouts.total.CopyFrom(duration(60))
        return request

    def fetch(self, path: str, status: int = 200, **more: Any) -> pb.HttpResponse:
        """The response, which came through the proxy."""
        reply = self.client.fetch(self.request(path, **more))
        self.check(reply.trace)
        return response_of(reply, status)

    def check(self, trace: pb.Trace) -> None:
        """All of it went through the proxy, in the version of the line."""
        assert trace.attempts
        assert {attempt.proxy for attempt in trace.attempts} == {self.line.proxy}
        http2 = self.line.port in ("H2C", "TLS_HTTP_2")
        wanted = pb.HTTP_VERSION_HTTP_2 if http2 else pb.HTTP_VERSION_HTTP_1_1
        assert {attempt.http_version for attempt in trace.attempts} == {wanted}


@pytest.fixture(params=LINES, ids=str)
def speaker(request: pytest.FixtureRequest, caller: Client, nginx: Nginx) -> Speaker:
    """Each line."""
    return Speaker(caller, request.param, nginx)


class TestEveryProxy:
    """Whatever the proxy, the fetch is the same."""

    def test_keep_alive(self, speaker: Speaker) -> None:
        # A connection of its own to begin with.
        replies = [speaker.client.fetch(speaker.request("/1k")) for _ in range(4)]
        for reply in replies:
            assert response_of(reply).body == FILES["1k"]
            speaker.check(reply.trace)
        attempts = [reply.trace.attempts[0] for reply in replies]
        if speaker.line.keeps_alive:
            assert [attempt.reused_connection for attempt in attempts[1:]] == [True] * 3
        phases = attempts[0].phases
        assert phases.HasField("proxy") == (not speaker.line.forwards and not attempts[0].reused_connection)

    def test_files_of_many_sizes(self, speaker: Speaker) -> None:
        for name in ("nothing", "hello.txt", "1k", "page.html"):
            response = speaker.fetch("/" + name)
            assert response.body == FILES[name]
            assert header_of(response, "content-length") == b"%d" % len(FILES[name])
            assert (header_of(response, "via") is not None) == speaker.line.forwards

    def test_a_large_body_down(self, speaker: Speaker) -> None:
        call = speaker.client.stream(speaker.request("/big"))
        assert call.read() == BIG
        assert call.head is not None and call.head.status == 200
        assert call.tail is not None and not call.tail.HasField("error"), call.tail
        speaker.check(call.tail.trace)

    @pytest.mark.parametrize("length", [len(BIG), None], ids=["of_known_length", "of_unknown_length"])
    def test_a_large_body_up(self, speaker: Speaker, length: Optional[int]) -> None:
        pieces = (BIG[at : at + 100_000] for at in range(0, len(BIG), 100_000))
        path = f"/upload/proxy-{speaker.line}-{length}"
        call = speaker.client.upload(speaker.request(path, method="PUT"), pieces, length=length)
        call.read()
        assert call.tail is not None and not call.tail.HasField("error"), call.tail
        speaker.check(call.tail.trace)
        assert call.head is not None and call.head.status in (201, 204)
        assert speaker.client.stream(speaker.request(path)).read() == BIG

    def test_head(self, speaker: Speaker) -> None:
        head = speaker.fetch("/page.html", method="HEAD")
        assert head.body == b""
        assert header_of(head, "content-length") == b"%d" % len(PAGE)
        # Nothing of a body is left on the connection.
        assert speaker.fetch("/hello.txt").body == b"hello\n"

    def test_204(self, speaker: Speaker) -> None:
        for _ in range(2):
            assert speaker.fetch("/empty", 204).body == b""

    def test_304(self, speaker: Speaker) -> None:
        etag = header_of(speaker.fetch("/1k"), "etag")
        assert etag is not None
        assert speaker.fetch("/1k", 304, headers=[("if-none-match", etag)]).body == b""
        assert speaker.fetch("/1k").body == FILES["1k"]

    def test_chunked(self, speaker: Speaker) -> None:
        response = speaker.fetch("/chunked/page.html")
        assert response.body == PAGE
        assert header_of(response, "content-length") is None

    def test_compressed(self, speaker: Speaker) -> None:
        response = speaker.fetch("/compressed/page.html", headers=[("accept-encoding", b"gzip")])
        assert header_of(response, "content-encoding") == b"gzip"
        assert len(response.body) < len(PAGE) // 4

    def test_redirects_as_they_are(self, speaker: Speaker) -> None:
        response = speaker.fetch("/moved", 302)
        assert (header_of(response, "location") or b"").endswith(b"/hello.txt")

    def test_an_error_of_the_origin_is_its_response(self, speaker: Speaker) -> None:
        assert speaker.fetch("/not-there", 404).body
        assert speaker.fetch("/unavailable", 503, attempts=1).body == b"later"

    def test_an_origin_that_refuses_connections(self, speaker: Speaker) -> None:
        scheme = "https" if speaker.line.port.startswith("TLS") else "http"
        request = speaker.request("/", attempts=1)
        request.url = f"{scheme}://127.0.0.1:{refusing_port()}/"
        reply = speaker.client.fetch(request)
        if speaker.line.forwards:
            # The proxy's own page, which cannot be told from the origin's.
            response_of(reply, 503 if speaker.line.proxy.startswith("squid") else 500)
            return
        http = speaker.line.proxy.partition("-")[0] in ("squid", "tinyproxy")
        error = error_of(reply, pb.DESTINATION_UNAVAILABLE if http else pb.CONNECTION_REFUSED, pb.PHASE_PROXY)
        assert error.processed == pb.PROCESSED_NO and error.retryable
        assert f"proxy {speaker.line.proxy} at 127.0.0.1:" in error.message


def test_the_secret_is_in_no_log(caller: Client, server: Fetchd, nginx: Nginx) -> None:
    for proxy in ("squid-password", "tinyproxy-password", "microsocks-password"):
        for port in ("HTTP", "TLS_GOOD"):
            request = fetch_request(nginx.url("/hello.txt", port))
            request.transport.proxy = proxy
            caller.fetch(request)
    assert PASSWORD not in server.access_log() and PASSWORD not in server.log()


def test_tls_is_with_the_origin(caller: Client, nginx: Nginx) -> None:
    for proxy in SERVERS:
        for port, code in (("TLS_EXPIRED", pb.TLS_CERTIFICATE_ERROR), ("TLS_WRONG_HOST", pb.TLS_CERTIFICATE_ERROR)):
            request = fetch_request(nginx.url("/", port), attempts=1)
            request.transport.proxy = proxy
            error_of(caller.fetch(request), code, pb.PHASE_TLS)


def test_the_origin_is_asked_for_by_its_checked_address(
    caller: Client, proxies: Dict[str, ProxyServer], nginx: Nginx
) -> None:
    request = fetch_request(nginx.url("/tls", "TLS_GOOD", host="origin.test"))
    request.transport.proxy = "tinyproxy"
    request.explain = pb.EXPLAIN_FULL
    reply = caller.fetch(request)
    assert response_of(reply).body.endswith(b" origin.test")
    assert reply.trace.attempts[0].address == f"127.0.0.1:{nginx.ports['TLS_GOOD']}"
    log = proxies["tinyproxy"].log
    wait_until(lambda: f"CONNECT 127.0.0.1:{nginx.ports['TLS_GOOD']}" in log(), "it is logged")
    assert f"origin.test:{nginx.ports['TLS_GOOD']}" not in log()


class TestEveryCall:
    """Batches, lists and checks know of proxies too."""

    def test_a_batch(self, caller: Client, nginx: Nginx) -> None:
        requests = []
        for proxy in [*SERVERS, "", "nobody"]:
            request = fetch_request(nginx.url("/1k", "TLS_HTTP_1_1"))
            request.explain = pb.EXPLAIN_SUMMARY
            request.transport.proxy = proxy
            requests.append(request)
        results: Dict[int, Any] = {}
        for message in caller.batch(requests):
            for result in message.results:
                results[result.index] = result.fetch
        for i, proxy in enumerate([*SERVERS, ""]):
            assert response_of(results[i]).body == FILES["1k"]
            assert results[i].trace.attempts[0].proxy == proxy
        refused = error_of(results[len(SERVERS) + 1], pb.REQUEST_INVALID, pb.PHASE_POLICY)
        assert "transport.proxy" in refused.message

    def test_a_list(self, caller: Client, nginx: Nginx) -> None:
        (nginx.root / "list.json").write_text('{"next": "/list2.json", "items": [1, 2]}')
        (nginx.root / "list2.json").write_text('{"items": [3]}')
        request = fetch_request(nginx.url("/list.json"))
        request.transport.proxy = "squid"
        request.explain = pb.EXPLAIN_SUMMARY
        paged = service_pb.FetchPagedRequest(request=request)
        paged.next_url.pointer = "/next"
        pages = list(caller.stub.FetchPaged(paged, timeout=60, metadata=caller.metadata))
        traces = [message.trace for message in pages if message.trace.attempts]
        assert [trace.attempts[0].proxy for trace in traces] == ["squid", "squid"]

    def test_check_url(self, server: Fetchd, caller: Client, nginx: Nginx) -> None:
        stub = origin_stub(server)
        request = origin_pb.CheckUrlRequest(url=nginx.url("/"))
        assert stub.CheckUrl(request, metadata=caller.metadata).proxy == ""
        request.transport.proxy = "squid"
        check = stub.CheckUrl(request, metadata=caller.metadata)
        assert (check.proxy, check.allowed) == ("squid", True)
        assert [address.address for address in check.addresses] == ["127.0.0.1"]


def origin_stub(server: Fetchd) -> Any:
    """OriginService of a server."""
    from fetchd.v1 import origin_service_pb2_grpc as origin_grpc

    return origin_grpc.OriginServiceStub(server.channel())


class TestWhoGoesThroughWhich:
    """The configuration says, and requests as far as it lets them."""

    @pytest.fixture(scope="class")
    def strict(self, start_fetchd: Any, proxies: Dict[str, ProxyServer]) -> Client:
        """By default through squid; origin.test through tinyproxy, unless the request says otherwise; localhost directly."""
        items = [
            proxy_config("squid", proxies["squid"], on_request=False, no_proxy=["direct.test", "::1"]),
            proxy_config("tinyproxy", proxies["tinyproxy"]),
        ]
        origins = [
            {"hosts": ["origin.test"], "proxy": "tinyproxy", "proxy_override": True},
            {"hosts": ["localhost"], "proxy": "direct"},
        ]
        return Client(start_fetchd(proxies=items, proxy="squid", origins=origins).channel())

    def proxy_of(self, client: Client, url: str, wanted: str = "") -> str:
        """The proxy that a fetch went through."""
        request = fetch_request(url)
        request.explain = pb.EXPLAIN_SUMMARY
        request.transport.proxy = wanted
        reply = client.fetch(request)
        response_of(reply)
        return reply.trace.attempts[0].proxy

    def test_the_configuration_says(self, strict: Client, nginx: Nginx, dns: DnsServer) -> None:
        dns.names["direct.test"] = ["127.0.0.1"]
        url = lambda host: nginx.url("/tls", "TLS_GOOD", host=host)  # noqa: E731
        assert self.proxy_of(strict, url("127.0.0.1")) == "squid"
        assert self.proxy_of(strict, url("origin.test")) == "tinyproxy"
        assert self.proxy_of(strict, url("localhost")) == ""
        assert self.proxy_of(strict, nginx.url("/hello.txt", host="direct.test")) == ""

    def test_requests_say_what_they_may(self, strict: Client, nginx: Nginx) -> None:
        url = lambda host: nginx.url("/tls", "TLS_GOOD", host=host)  # noqa: E731
        assert self.proxy_of(strict, url("127.0.0.1"), "squid") == "squid"
        assert self.proxy_of(strict, url("origin.test"), "direct") == ""
        for host, wanted in (
            ("127.0.0.1", "direct"),
            ("127.0.0.1", "tinyproxy"),
            ("127.0.0.1", "nobody"),
            ("origin.test", "squid"),
            ("localhost", "tinyproxy"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                self.proxy_of(strict, url(host), wanted)
            assert list(violations(caught.value)) == ["transport.proxy"]

    def test_the_next_page_has_the_proxy_of_its_own_origin(self, strict: Client, nginx: Nginx) -> None:
        there = nginx.url("/list2.json", host="localhost")
        (nginx.root / "away.json").write_text('{"next": "%s", "items": [1]}' % there)
        (nginx.root / "list2.json").write_text('{"items": [3]}')
        request = fetch_request(nginx.url("/away.json"))
        request.explain = pb.EXPLAIN_SUMMARY
        paged = service_pb.FetchPagedRequest(request=request, allow_other_origins=True)
        paged.next_url.pointer = "/next"
        pages = list(strict.stub.FetchPaged(paged, timeout=60, metadata=strict.metadata))
        traces = [message.trace for message in pages if message.trace.attempts]
        assert [trace.attempts[0].proxy for trace in traces] == ["squid", ""]


    def test_a_redirect_has_the_proxy_of_its_own_origin(
        self, strict: Client, nginx: Nginx, origin: ScriptedOrigin
    ) -> None:
        there = nginx.url("/hello.txt", host="localhost")
        request = fetch_request(origin.route("/away", lambda c: c.reply(b"moved", 302, (("location", there),))))
        request.redirects.mode = pb.RedirectPolicy.MODE_FOLLOW
        request.explain = pb.EXPLAIN_SUMMARY
        reply = strict.fetch(request)
        assert response_of(reply).body == b"hello\n"
        assert [attempt.proxy for attempt in reply.trace.attempts] == ["squid", ""]


class TestTheGuard:
    """It decides about the origin, as well as about the proxy."""

    def test_an_origin_that_is_not_public(
        self, start_fetchd: Any, proxies: Dict[str, ProxyServer], nginx: Nginx
    ) -> None:
        items = [
            proxy_config(f"{name}-{names}", proxies[name], names=names)
            for name in ("squid", "microsocks")
            for names in ("pinned", "checked")
        ]
        guard = {"allow_cidrs": [], "allow_proxy_cidrs": ["127.0.0.0/8"]}
        client = Client(start_fetchd(proxies=items, guard=guard).channel())
        before = {name: proxies[name].log() for name in ("squid", "microsocks")}
        for item in items:
            for port in ("HTTP", "TLS_GOOD"):
                request = fetch_request(nginx.url("/", port, host="origin.test"))
                request.transport.proxy = item["name"]
                error_of(client.fetch(request), pb.DESTINATION_IP_PROHIBITED, pb.PHASE_DNS)
            # Nor the proxy itself, although fetchd connects to it.
            request.url = f"http://127.0.0.1:{proxies['squid'].port}/"
            with pytest.raises(grpc.RpcError) as caught:
                client.fetch(request)
            assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert before == {name: proxies[name].log() for name in before}

    def test_a_proxy_that_is_not_public(self, start_fetchd: Any, proxies: Dict[str, ProxyServer], dns: DnsServer) -> None:
        dns.names["public.test"] = ["93.184.216.34"]
        items = [proxy_config(name, proxies[name]) for name in ("squid", "microsocks")]
        client = Client(start_fetchd(proxies=items, guard={"allow_cidrs": []}).channel())
        for name in ("squid", "microsocks"):
            for scheme in ("http", "https"):
                request = fetch_request(f"{scheme}://public.test/")
                request.transport.proxy = name
                error = error_of(client.fetch(request), pb.DESTINATION_IP_PROHIBITED, pb.PHASE_PROXY)
                assert "127.0.0.1 is loopback" in error.message

    def test_names_that_only_the_proxy_knows(
        self, start_fetchd: Any, proxies: Dict[str, ProxyServer], nginx: Nginx, dns: DnsServer
    ) -> None:
        items = [
            proxy_config(f"squid-{names}", proxies["squid"], names=names) for names in ("pinned", "checked", "remote")
        ]
        guard = {"allow_cidrs": [], "allow_proxy_cidrs": ["127.0.0.0/8"]}
        server = start_fetchd(proxies=items, guard=guard)
        client = Client(server.channel())
        for port in ("HTTP", "TLS_GOOD"):
            request = fetch_request(nginx.url("/hello.txt", port, host="inside.test"), attempts=1)
            for names in ("pinned", "checked"):
                request.transport.proxy = f"squid-{names}"
                error_of(client.fetch(request), pb.DNS_ERROR, pb.PHASE_DNS)
            request.transport.proxy = "squid-remote"
            asked = dns.asked("inside.test")
            reply = client.fetch(request)
            if port == "HTTP":
                assert response_of(reply).body == b"hello\n"
            else:
                # It got as far as nginx, whose certificate has another name.
                error_of(reply, pb.TLS_CERTIFICATE_ERROR, pb.PHASE_TLS)
            assert dns.asked("inside.test") == asked
        request.url = nginx.url("/")
        with pytest.raises(grpc.RpcError) as caught:
            client.fetch(request)
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        check = origin_stub(server).CheckUrl(
            origin_pb.CheckUrlRequest(url="http://inside.test/", transport={"proxy": "squid-remote"}),
            metadata=client.metadata,
        )
        assert (check.proxy, check.allowed, list(check.addresses), check.dns_error) == ("squid-remote", True, [], "")


class TestProxiesInTrouble:
    """What is wrong with a proxy is said in terms of the proxy."""

    def test_passwords_that_are_wrong_or_missing(
        self, start_fetchd: Any, proxies: Dict[str, ProxyServer], nginx: Nginx, tmp_path: pathlib.Path
    ) -> None:
        wrong = tmp_path / "wrong"
        wrong.write_text("not-the-password")
        secured = {name: proxy for name, proxy in proxies.items() if proxy.password is not None}
        assert len(secured) == 3
        items = [proxy_config(f"{name}.wrong", proxy, wrong) for name, proxy in secured.items()]
        items += [proxy_config(f"{name}.none", proxy) for name, proxy in secured.items()]
        server = start_fetchd(proxies=items)
        client = Client(server.channel())
        for item in items:
            for port in ("HTTP", "TLS_GOOD"):
                request = fetch_request(nginx.url("/hello.txt", port))
                request.transport.proxy = item["name"]
                reply = client.fetch(request)
                if (item["name"], port) == ("tinyproxy-password.wrong", "HTTP"):
                    # Its own idea, which cannot be told from an origin's answer.
                    response_of(reply, 401)
                    continue
                error = error_of(reply, pb.PROXY_AUTHENTICATION_REQUIRED, pb.PHASE_PROXY)
                assert error.processed == pb.PROCESSED_NO and not error.retryable
                assert reply.attempts == 1
                assert f"proxy {item['name']} at 127.0.0.1:" in error.message
        # Set right, they work without a restart.
        wrong.write_text(PASSWORD)
        server.signal(1)
        for item in items[:3]:
            request = fetch_request(nginx.url("/hello.txt"))
            request.transport.proxy = item["name"]
            wait_until(lambda: client.fetch(request).response.status == 200, "the new password is in use")  # noqa: B023
        assert "not-the-password" not in server.log() + server.access_log()

    def test_a_proxy_that_does_not_let_through(self, caller: Client, server: Fetchd, nginx: Nginx, dns: DnsServer) -> None:
        request = fetch_request(nginx.url("/", host="127.0.0.2"), attempts=1)
        request.transport.proxy = "dante"
        error = error_of(caller.fetch(request), pb.PROXY_REFUSED, pb.PHASE_PROXY)
        assert "not allowed by its rules" in error.message and not error.retryable

    def test_a_rule_of_names(self, start_fetchd: Any, proxies: Dict[str, ProxyServer], nginx: Nginx, dns: DnsServer) -> None:
        dns.names["refused.test"] = ["127.0.0.1"]
        items = [proxy_config(f"squid-{names}", proxies["squid"], names=names) for names in ("pinned", "checked")]
        client = Client(start_fetchd(proxies=items).channel())
        request = fetch_request(nginx.url("/", "TLS_GOOD", host="refused.test"), attempts=1)
        request.transport.proxy = "squid-checked"
        error = error_of(client.fetch(request), pb.PROXY_REFUSED, pb.PHASE_PROXY)
        assert f"CONNECT refused.test:{nginx.ports['TLS_GOOD']} with status 403 (Forbidden)" in error.message
        # The address is none that the rule names; the certificate is for another name.
        request.transport.proxy = "squid-pinned"
        error_of(client.fetch(request), pb.TLS_CERTIFICATE_ERROR, pb.PHASE_TLS)

    def test_the_wrong_kind_of_proxy(self, start_fetchd: Any, proxies: Dict[str, ProxyServer], nginx: Nginx) -> None:
        items = [
            {"name": "http", "url": proxies["microsocks"].url.replace("socks5", "http"), "on_request": True},
            {"name": "socks", "url": proxies["squid"].url.replace("http", "socks5"), "on_request": True},
            {"name": "origin", "url": f"http://127.0.0.1:{nginx.ports['TLS_GOOD']}", "on_request": True},
        ]
        for item in items:
            item["handshake_timeout"] = "300ms"
        client = Client(start_fetchd(proxies=items).channel())
        for item in items:
            request = fetch_request(nginx.url("/", "TLS_GOOD"), attempts=1)
            request.transport.proxy = item["name"]
            error = client.fetch(request).error
            # squid waits for the rest of what it does not understand, nginx answers; microsocks says in its own protocol
            # that it will not, and closes the connection, perhaps with what was sent unread, so that its word is lost.
            wanted = {"http": [pb.PROXY_PROTOCOL_ERROR, pb.PROXY_UNAVAILABLE], "socks": [pb.PROXY_TIMEOUT],
                      "origin": [pb.PROXY_REFUSED]}
            assert error.code in wanted[item["name"]], error
            assert error.phase == pb.PHASE_PROXY

    def test_a_proxy_that_is_killed(self, start_fetchd: Any, nginx: Nginx) -> None:
        mine: List[ProxyServer] = [Squid(), Microsocks()]
        try:
            for proxy in mine:
                proxy.start()
            items = [proxy_config(repr(proxy), proxy) for proxy in mine]
            server = start_fetchd(proxies=items)
            client = Client(server.channel())
            for proxy in mine:
                for port in ("HTTP", "TLS_HTTP_1_1"):
                    self.kill_amid_a_body(client, proxy, nginx, port)
            assert server.idle()
        finally:
            for proxy in mine:
                proxy.stop()

    def kill_amid_a_body(self, client: Client, proxy: ProxyServer, nginx: Nginx, port: str) -> None:
        """Half a body, then what comes of it, and of fetches while the proxy is gone and after it is back."""
        nginx.sparse("endless", 1 << 30)
        request = fetch_request(nginx.url("/endless", port), attempts=1)
        request.transport.proxy = repr(proxy)
        call = client.stream(request)
        chunks = call.chunks()
        next(chunks)
        proxy.kill()
        for _ in chunks:
            pass
        broken = pb.HTTP_RESPONSE_INCOMPLETE if port == "HTTP" else pb.TLS_TRUNCATED
        assert call.tail is not None and call.tail.error.code == broken, call.tail
        request.url = nginx.url("/1k", port)
        error = error_of(client.fetch(request), pb.PROXY_UNAVAILABLE, pb.PHASE_CONNECT)
        assert error.processed == pb.PROCESSED_NO and error.retryable
        assert f"proxy {proxy!r}: connecting to 127.0.0.1:{proxy.port}: Connection refused" in error.message
        proxy.start()
        assert response_of(client.fetch(request)).body == FILES["1k"]

    def test_a_proxy_that_says_nothing(self, start_fetchd: Any, nginx: Nginx) -> None:
        import socket

        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(8)
            where = f"127.0.0.1:{silent.getsockname()[1]}"
            items = [
                {"name": kind, "url": f"{kind}://{where}", "on_request": True, "handshake_timeout": "300ms"}
                for kind in ("http", "socks5")
            ]
            client = Client(start_fetchd(proxies=items).channel())
            for kind in ("http", "socks5"):
                request = fetch_request(nginx.url("/", "TLS_GOOD"), attempts=1)
                request.transport.proxy = kind
                request.explain = pb.EXPLAIN_FULL
                reply = client.fetch(request)
                error_of(reply, pb.PROXY_TIMEOUT, pb.PHASE_PROXY)
                assert reply.trace.attempts[0].phases.proxy.ToMilliseconds() >= 300

    def test_failures_of_a_proxy_do_not_open_the_origins_breaker(self, start_fetchd: Any, nginx: Nginx) -> None:
        items = [{"name": "gone", "url": f"socks5://127.0.0.1:{refusing_port()}", "on_request": True}]
        client = Client(start_fetchd(proxies=items, breaker={"consecutive_failures": 2}).channel())
        request = fetch_request(nginx.url("/1k"), attempts=1)
        request.transport.proxy = "gone"
        for _ in range(5):
            error_of(client.fetch(request), pb.PROXY_UNAVAILABLE, pb.PHASE_CONNECT)
        assert response_of(client.fetch(nginx.url("/1k"))).body == FILES["1k"]


def test_a_proxy_authorization_of_the_caller_goes_to_no_proxy(
    caller: Client, nginx: Nginx, proxies: Dict[str, ProxyServer]
) -> None:
    """squid would take it for the password, and refuse."""
    request = fetch_request(nginx.url("/hello.txt"), headers=[("proxy-authorization", b"Basic bm86bm8=")])
    request.transport.proxy = "squid-password"
    assert response_of(caller.fetch(request)).body == b"hello\n"


def test_metrics(caller: Client, server: Fetchd, nginx: Nginx) -> None:
    count = lambda: server.metric("fetchd_phase_duration_seconds_count", phase="proxy")  # noqa: E731
    before = count()
    request = fetch_request(nginx.url("/tls", "TLS_GOOD", host="origin.test"))
    request.transport.proxy = "dante"
    assert headers_of(response_of(caller.fetch(request)))
    assert count() == before + 1

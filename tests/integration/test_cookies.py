"""Sessions: whose cookies they are, which requests get them, and that nobody else sees them."""

import itertools
import ssl
import time
from typing import Any, Dict, Iterator, Tuple

import grpc
import pytest
from calls import Client, fetch_request, headers_of, response_of, violations
from conftest import StartFetchd
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from real_origins import Certificates, Httpbin
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("quiet")

_names = itertools.count(1)


@pytest.fixture
def session() -> str:
    """A name that no other test uses."""
    return f"session-{next(_names)}"


@pytest.fixture
def elsewhere() -> Iterator[ScriptedOrigin]:
    """Another origin."""
    server = ScriptedOrigin()
    yield server
    server.stop()


@pytest.fixture
def safe(certificates: Certificates) -> Iterator[ScriptedOrigin]:
    """An origin with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
    server = ScriptedOrigin(tls=context)
    yield server
    server.stop()


def within(session: str, url: str, follow: bool = False, **more: Any) -> pb.FetchRequest:
    """A request of a session."""
    request = fetch_request(url, **more)
    request.session = session
    if follow:
        request.redirects.mode = pb.RedirectPolicy.MODE_FOLLOW
    return request


def sets(
    origin: ScriptedOrigin, path: str, *cookies: str, status: int = 200, more: Tuple[Tuple[str, str], ...] = ()
) -> str:
    """Sets these cookies; returns the URL."""
    fields = tuple(("set-cookie", cookie) for cookie in cookies) + more
    return origin.route(path, lambda c: c.reply(b"set", status, fields))


def shows(origin: ScriptedOrigin, path: str = "/show") -> str:
    """Answers with the cookies that came; returns the URL."""

    def script(connection: Connection) -> None:
        assert connection.request is not None
        connection.reply(connection.request.header("cookie") or b"-")

    return origin.route(path, script)


def test_off_by_default(client: Client, origin: ScriptedOrigin) -> None:
    response = response_of(client.fetch(sets(origin, "/set", "a=1")))
    assert ("set-cookie", b"a=1") in headers_of(response)
    assert response_of(client.fetch(shows(origin))).body == b"-"


def test_cookies_are_kept_and_sent(client: Client, origin: ScriptedOrigin, session: str) -> None:
    cookies = ["a=1", "b=2; Path=/show; Max-Age=100", "c=3; Path=/other", "gone=4; Max-Age=0", "nameless"]
    url = sets(origin, "/set", *cookies)
    response = response_of(client.fetch(within(session, url)))
    # The caller sees them all the same.
    assert [value for name, value in headers_of(response) if name == "set-cookie"][0] == b"a=1"
    assert response_of(client.fetch(within(session, shows(origin)))).body == b"b=2; a=1; nameless"
    # Deleted by the origin.
    client.fetch(within(session, sets(origin, "/unset", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT")))
    assert response_of(client.fetch(within(session, shows(origin)))).body == b"b=2; nameless"
    assert response_of(client.fetch(within("another", shows(origin)))).body == b"-"


def test_callers_do_not_share(fetchd: Fetchd, origin: ScriptedOrigin, session: str) -> None:
    one, two = Client(fetchd.channel(), "one"), Client(fetchd.channel(), "two")
    one.fetch(within(session, sets(origin, "/1", "a=one")))
    assert response_of(two.fetch(within(session, shows(origin)))).body == b"-"
    two.fetch(within(session, sets(origin, "/2", "a=two")))
    assert response_of(one.fetch(within(session, shows(origin)))).body == b"a=one"
    assert response_of(two.fetch(within(session, shows(origin)))).body == b"a=two"
    # A caller without a name is its address, and neither of them.
    nameless = one.stub.Fetch(within(session, shows(origin)), timeout=30)
    assert response_of(nameless).body == b"-"


def test_bad_sessions(client: Client, origin: ScriptedOrigin) -> None:
    for name in ("x" * 65, "a/b", "a b", "é"):
        with pytest.raises(grpc.RpcError) as refused:
            client.fetch(within(name, origin.url("/")))
        assert set(violations(refused.value)) == {"session"}
    assert client.fetch(within("x" * 64, origin.url("/"))).response.status == 404
    with pytest.raises(grpc.RpcError) as refused:
        client.fetch(within("s", origin.url("/"), headers=[("Cookie", b"a=b")]))
    assert violations(refused.value) == {"session": "cannot go with a cookie header"}


def test_hosts_and_suffixes(client: Client, dns: Any, origin: ScriptedOrigin, session: str) -> None:
    for name in ("www.example.com", "api.example.com", "example.com", "me.github.io", "you.github.io"):
        dns.names[name] = ["127.0.0.1"]

    def at(host: str, path: str = "/show") -> pb.FetchRequest:
        return within(session, origin.url(path, host=host))

    sets(origin, "/set", "host=1", "all=2; Domain=example.com", "com=3; Domain=com", "other=4; Domain=api.example.com")
    shows(origin)
    client.fetch(at("www.example.com", "/set"))
    assert response_of(client.fetch(at("www.example.com"))).body == b"host=1; all=2"
    assert response_of(client.fetch(at("api.example.com"))).body == b"all=2"
    assert response_of(client.fetch(at("example.com"))).body == b"all=2"
    assert response_of(client.fetch(at("127.0.0.1"))).body == b"-"
    sets(origin, "/set", "shared=1; Domain=github.io")
    client.fetch(at("me.github.io", "/set"))
    assert response_of(client.fetch(at("you.github.io"))).body == b"-"


def test_secure_cookies(client: Client, safe: ScriptedOrigin, origin: ScriptedOrigin, session: str) -> None:
    """Of 127.0.0.1, on whatever port: only TLS sets and gets them."""
    client.fetch(within(session, sets(origin, "/set", "early=1; Secure", "__Host-early=1; Secure; Path=/")))
    cookies = ["s=1; Secure", "__Host-h=2; Secure; Path=/", "__Secure-x=3", "open=4"]
    client.fetch(within(session, sets(safe, "/set", *cookies)))
    assert response_of(client.fetch(within(session, shows(safe)))).body == b"s=1; __Host-h=2; open=4"
    assert response_of(client.fetch(within(session, shows(origin)))).body == b"open=4"
    client.fetch(within(session, sets(origin, "/over", "s=evil", "open=5")))
    assert response_of(client.fetch(within(session, shows(safe)))).body == b"s=1; __Host-h=2; open=5"


def test_redirects_set_and_get_cookies(
    client: Client, dns: Any, origin: ScriptedOrigin, elsewhere: ScriptedOrigin, session: str
) -> None:
    """A login: the redirect sets the cookie that the next step needs; another host gets its own only, and the way back
    has the first ones again."""
    dns.names["other.test"] = ["127.0.0.1"]
    away = elsewhere.url("/away", host="other.test")
    url = sets(origin, "/login", "id=1; Path=/", status=303, more=(("location", "/home"),))
    sets(origin, "/home", "seen=2; Path=/", status=302, more=(("location", away),))
    sets(elsewhere, "/away", "theirs=3; Path=/", status=302, more=(("location", shows(origin)),))
    response = response_of(client.fetch(within(session, url, follow=True, method="POST", body=b"user")))
    assert response.body == b"id=1; seen=2"
    assert [step.status for step in response.redirects] == [303, 302, 302]
    home = next(request for request in origin.requests if request.target == "/home")
    assert home.header("cookie") == b"id=1" and home.method == "GET"
    assert elsewhere.requests[0].header("cookie") is None
    shows(elsewhere)
    theirs = within(session, elsewhere.url("/show", host="other.test"))
    assert response_of(client.fetch(theirs)).body == b"theirs=3"
    # Without redirects the session keeps the cookie of the 303 too.
    sets(origin, "/login", "id=9; Path=/", status=303, more=(("location", "/home"),))
    assert response_of(client.fetch(within(session, url)), 303)
    assert response_of(client.fetch(within(session, shows(origin)))).body == b"id=9; seen=2"


def test_all_shapes(client: Client, origin: ScriptedOrigin, session: str) -> None:
    sets(origin, "/set", "a=1")
    call = client.stream(within(session, origin.url("/set")))
    assert call.read() == b"set"
    requests = [within(session, shows(origin)), fetch_request(shows(origin))]
    results = {r.index: r.fetch for m in client.batch(requests) for r in m.results}
    assert results[0].response.body == b"a=1" and results[1].response.body == b"-"
    call = client.stream(within(session, shows(origin)))
    assert call.read() == b"a=1"
    bad = {r.index: r.fetch for m in client.batch([within("a b", origin.url("/"))]) for r in m.results}
    assert bad[0].error.code == pb.REQUEST_INVALID and "session" in bad[0].error.message


def test_pages_of_a_session(client: Client, origin: ScriptedOrigin, session: str) -> None:
    """Each page gets what those before have set; so does a resumed list."""
    count = itertools.count(1)

    def script(connection: Connection) -> None:
        assert connection.request is not None
        n = next(count)
        fields = (("set-cookie", f"c{n}={n}"),) + ((("link", f'<?p={n}>; rel="next"'),) if n < 4 else ())
        connection.reply(connection.request.header("cookie") or b"-", 200, fields)

    request = service_pb.FetchPagedRequest(
        request=within(session, origin.route("/list", script)), link_header=service_pb.LinkHeaderStrategy(), max_pages=2
    )
    messages = list(client.stub.FetchPaged(request, timeout=30, metadata=client.metadata))
    assert [m.page.response.body for m in messages[:-1]] == [b"-", b"c1=1"]
    request.resume_token = messages[-1].resume_token
    messages = list(client.stub.FetchPaged(request, timeout=30, metadata=client.metadata))
    assert [m.page.response.body for m in messages[:-1]] == [b"c1=1; c2=2", b"c1=1; c2=2; c3=3"]


def test_retries_carry_the_same_cookies(client: Client, origin: ScriptedOrigin, session: str) -> None:
    """What an attempt sets that is put aside is not kept."""
    client.fetch(within(session, sets(origin, "/set", "a=1")))
    answers = iter([(503, "aside=1"), (200, "final=1")])

    def script(connection: Connection) -> None:
        status, cookie = next(answers)
        connection.reply(b"", status, (("set-cookie", cookie),))

    request = within(session, origin.route("/flaky", script))
    request.retry.initial_backoff.FromMilliseconds(1)
    assert client.fetch(request).attempts == 2
    assert [r.header("cookie") for r in origin.requests if r.target == "/flaky"] == [b"a=1", b"a=1"]
    assert response_of(client.fetch(within(session, shows(origin)))).body == b"a=1; final=1"


def test_hostile_cookies(client: Client, fetchd: Fetchd, origin: ScriptedOrigin, session: str) -> None:
    """Malformed ones are ignored; too many make room for each other; a request does not grow without end."""
    url = sets(origin, "/set", "", "=", ";", "; Path=/", "a=1; Domain=..", "b=2; Path", "c=3; Max-Age=abc", "d" * 4097)
    client.fetch(within(session, url))
    assert response_of(client.fetch(within(session, shows(origin)))).body == b"b=2; c=3"
    for n in range(100):
        client.fetch(within(session, sets(origin, "/many", *(f"k{n}-{i}={'v' * 1000}" for i in range(10)))))
    cookie = response_of(client.fetch(within(session, shows(origin)))).body
    assert 15_000 < len(cookie) <= 16_384 and cookie.count(b";") < 50


def test_secrets_are_not_logged(start_fetchd: StartFetchd, origin: ScriptedOrigin, session: str) -> None:
    server = start_fetchd(log={"request_headers": ["cookie", "user-agent"], "level": "debug"})
    caller = Client(server.channel())
    caller.fetch(within(session, sets(origin, "/set", "token=hush")))
    request = within(session, shows(origin))
    request.explain = pb.EXPLAIN_FULL
    reply = caller.fetch(request)
    assert response_of(reply).body == b"token=hush" and "hush" not in str(reply.trace)
    wait_until(lambda: reply.fetch_id in server.access_log(), "the fetch is logged")
    assert "hush" not in server.access_log() + server.log()
    assert "header.cookie=<redacted>" in server.access_log()


def test_limits_of_the_config(start_fetchd: StartFetchd, origin: ScriptedOrigin) -> None:
    server = start_fetchd(sessions={"max_jars": 3, "max_jars_per_caller": 2, "ttl": "1s"})
    callers: Dict[str, Client] = {name: Client(server.channel(), name) for name in ("a", "b", "c")}
    set_url, show_url = sets(origin, "/set", "x=1"), shows(origin)

    def has(caller: str, session: str) -> bool:
        return response_of(callers[caller].fetch(within(session, show_url))).body == b"x=1"

    for session in ("1", "2", "3"):
        callers["a"].fetch(within(session, set_url))
    assert (has("a", "1"), has("a", "2"), has("a", "3")) == (False, True, True)
    callers["b"].fetch(within("1", set_url))
    callers["c"].fetch(within("1", set_url))
    assert not has("a", "2") and has("c", "1")
    # The ttl has to pass, without a look, which would be a use.
    ends = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > ends, "longer than the ttl has passed")
    assert not has("c", "1")


def test_httpbin(client: Client, httpbin: Httpbin, session: str) -> None:
    response = response_of(client.fetch(within(session, httpbin.url("/cookies/set?flavour=oat"), follow=True)))
    assert b'"flavour": "oat"' in response.body.replace(b'":"', b'": "')
    client.fetch(within(session, httpbin.url("/cookies/delete?flavour")))
    assert b"oat" not in response_of(client.fetch(within(session, httpbin.url("/cookies")))).body

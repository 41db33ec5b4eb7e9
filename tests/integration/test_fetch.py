"""Fetch against real servers: what is sent, what comes back, and which of it is a gRPC status."""

import base64
import gzip
import hashlib
import json
import ssl
import threading
import time
from typing import Any

import grpc
import pytest
from calls import (
    Client,
    error_of,
    fetch_request,
    header_of,
    headers_of,
    response_of,
    status_details,
)
from fetchd.v1 import fetch_pb2 as pb
from real_origins import Certificates, Httpbin, Nginx, refusing_port
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("status", [200, 201, 202, 301, 302, 307, 400, 401, 403, 404, 405, 410, 418, 501, 505])
def test_any_status_is_a_response(client: Client, httpbin: Httpbin, status: int) -> None:
    reply = client.fetch(httpbin.url(f"/status/{status}"))
    response_of(reply, status)
    assert reply.attempts == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_statuses_are_attempted_again_and_then_returned(client: Client, origin: ScriptedOrigin, status: int):
    url = origin.route("/x", lambda connection: connection.reply(b"ill", status))
    reply = client.fetch(url)
    assert response_of(reply, status).body == b"ill"
    assert reply.attempts == 3
    assert origin.count("/x") == 3


def test_post_is_not_attempted_again(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b"", 503))
    assert client.fetch(url, method="POST", body=b"once").attempts == 1
    assert client.fetch(url, method="POST", headers=[("idempotency-key", b"k")]).attempts == 3
    request = pb.FetchRequest(url=url, method="POST", retry=pb.RetryPolicy(idempotent=True, max_attempts=2))
    assert client.fetch(request).attempts == 2
    assert origin.count("/x") == 6


def test_a_later_attempt_may_succeed(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        connection.reply(b"at last", 200 if origin.count("/x") == 3 else 503)

    reply = client.fetch(origin.route("/x", script))
    assert response_of(reply).body == b"at last"
    assert reply.attempts == 3


def test_retry_after_is_the_least_wait(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        if origin.count("/x") == 1:
            connection.reply(b"", 503, (("Retry-After", "1"),))
        else:
            connection.reply(b"now")

    start = time.monotonic()
    assert response_of(client.fetch(origin.route("/x", script))).body == b"now"
    assert time.monotonic() - start >= 0.95


def test_a_wait_that_does_not_fit_is_not_begun(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b"later", 503, (("Retry-After", "50"),)))
    start = time.monotonic()
    reply = client.fetch(url, total=5)
    assert response_of(reply, 503).body == b"later"
    assert reply.attempts == 1
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_methods_and_bodies_arrive(client: Client, httpbin: Httpbin, method: str) -> None:
    body = b"" if method == "GET" else b"some \x00 bytes"
    reply = client.fetch(httpbin.url("/anything"), method=method, body=body)
    seen = json.loads(response_of(reply).body)
    assert seen["method"] == method
    data = seen["data"].encode()
    if seen["data"].startswith("data:"):
        data = base64.b64decode(seen["data"].partition("base64,")[2])
    assert data == body


@pytest.mark.parametrize("method", ["OPTIONS", "QUERY", "PROPFIND", "x-Own!"])
def test_methods_are_sent_as_they_are(client: Client, origin: ScriptedOrigin, method: str) -> None:
    response_of(client.fetch(origin.route("/x", lambda connection: connection.reply(b"ok")), method=method))
    assert origin.requests[0].method == method


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_no_body_is_content_length_0(client: Client, origin: ScriptedOrigin, method: str) -> None:
    response_of(client.fetch(origin.route("/x", lambda connection: connection.reply()), method=method))
    assert origin.requests[0].header("content-length") == b"0"


def test_get_without_body_has_no_content_length(client: Client, origin: ScriptedOrigin) -> None:
    response_of(client.fetch(origin.route("/x", lambda connection: connection.reply())))
    assert origin.requests[0].header("content-length") is None
    assert origin.requests[0].header("transfer-encoding") is None


def test_head_has_no_body(client: Client, nginx: Nginx) -> None:
    for _ in range(2):
        response = response_of(client.fetch(nginx.url("/1k"), method="HEAD"))
        assert response.body == b""
        assert header_of(response, "content-length") == b"1024"
    assert response_of(client.fetch(nginx.url("/1k"))).body == (nginx.root / "1k").read_bytes()


def test_204_and_304_have_no_body(client: Client, nginx: Nginx) -> None:
    assert response_of(client.fetch(nginx.url("/empty")), 204).body == b""
    etag = header_of(response_of(client.fetch(nginx.url("/1k"))), "etag")
    assert etag
    response = response_of(client.fetch(nginx.url("/1k"), headers=[("if-none-match", etag)]), 304)
    assert response.body == b""
    assert response_of(client.fetch(nginx.url("/1k"))).body == (nginx.root / "1k").read_bytes()


def test_request_headers_keep_order_repetition_and_bytes(client: Client, origin: ScriptedOrigin) -> None:
    sent = [
        ("X-B", b"2"),
        ("x-a", b"1"),
        ("x-b", b"3"),
        ("x-bytes", bytes([0xFF, 0xE9, 0x09, 0x80])),
        ("x-empty", b""),
        ("accept", b"text/x"),
        ("user-agent", b"mine/1"),
        ("cookie", b"a=b; c=d"),
    ]
    response_of(client.fetch(origin.route("/x", lambda connection: connection.reply()), headers=sent))
    request = origin.requests[0]
    assert request.headers[0] == (b"host", f"127.0.0.1:{origin.port}".encode())
    named = {name.lower().encode() for name, _ in sent}
    assert [pair for pair in request.headers if pair[0] in named] == [(name.lower().encode(), value) for name, value in sent]


def test_user_agent_accept_and_accept_encoding_are_added_and_nothing_else(client: Client, origin: ScriptedOrigin) -> None:
    response_of(client.fetch(origin.route("/x", lambda connection: connection.reply())))
    fields = dict(origin.requests[0].headers)
    assert set(fields) - {b"connection"} == {b"host", b"user-agent", b"accept", b"accept-encoding"}
    assert fields[b"user-agent"].startswith(b"fetchd")
    assert fields[b"accept"] == b"*/*"


def test_response_headers_keep_order_repetition_and_bytes(client: Client, origin: ScriptedOrigin) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Two: b\r\nSet-Cookie: a=1\r\nX-One:   a  \r\nset-cookie: b=2\r\n"
    head += b"X-Bytes: \xff\xe9\t\x80\r\nX-Empty:\r\ncontent-length: 0\r\n\r\n"
    response = response_of(client.fetch(origin.raw("/x", head, "keep")))
    assert headers_of(response) == [
        ("x-two", b"b"),
        ("set-cookie", b"a=1"),
        ("x-one", b"a"),
        ("set-cookie", b"b=2"),
        ("x-bytes", b"\xff\xe9\t\x80"),
        ("x-empty", b""),
        ("content-length", b"0"),
    ]
    assert not any(header.sensitive for header in response.headers)


def test_interim_responses_are_skipped(client: Client, origin: ScriptedOrigin) -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    data += b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    response = response_of(client.fetch(origin.raw("/x", data, "keep")))
    assert (response.body, header_of(response, "link")) == (b"ok", None)


def test_delay_is_waited_for(client: Client, httpbin: Httpbin) -> None:
    start = time.monotonic()
    response_of(client.fetch(httpbin.url("/delay/1")))
    assert time.monotonic() - start >= 1


def test_drip_and_chunked_bodies_are_put_together(client: Client, httpbin: Httpbin) -> None:
    assert response_of(client.fetch(httpbin.url("/drip?duration=1&numbytes=10&code=200"))).body == b"*" * 10
    response = response_of(client.fetch(httpbin.url("/stream/20")))
    assert header_of(response, "transfer-encoding") == b"chunked"
    assert [json.loads(line)["id"] for line in response.body.splitlines()] == list(range(20))


def test_big_body_arrives_whole(client: Client, httpbin: Httpbin, nginx: Nginx) -> None:
    data = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(100_000))
    (nginx.root / "big").write_bytes(data)
    assert response_of(client.fetch(nginx.url("/big"))).body == data
    assert len(response_of(client.fetch(httpbin.url("/bytes/100000?seed=1"))).body) == 100_000


def test_trailers_come_back(client: Client, origin: ScriptedOrigin) -> None:
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;note=x\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
    response = response_of(client.fetch(origin.raw("/x", data, "keep")))
    assert response.body == b"abc"
    assert [(header.name, header.value) for header in response.trailers] == [("x-sum", b"1"), ("x-sum", b"2")]


def test_body_until_close(client: Client, origin: ScriptedOrigin) -> None:
    assert response_of(client.fetch(origin.raw("/x", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"))).body == b"until the end"


def test_a_coded_file_is_decoded_or_passed_through(client: Client, nginx: Nginx) -> None:
    packed = gzip.compress(b"text " * 1000)
    (nginx.root / "gzip" / "text.gz").write_bytes(packed)
    request = fetch_request(nginx.url("/gzip/text"))
    assert response_of(client.fetch(request)).body == b"text " * 1000
    request.body_policy.coding = pb.BodyPolicy.CODING_PASS_THROUGH
    response = response_of(client.fetch(request))
    assert header_of(response, "content-encoding") == b"gzip"
    assert response.body == packed


def test_redirects_are_responses(client: Client, httpbin: Httpbin) -> None:
    response = response_of(client.fetch(httpbin.url("/redirect-to?url=/get")), 302)
    assert header_of(response, "location") == b"/get"


def test_urls_reach_the_origin_as_meant(client: Client, origin: ScriptedOrigin) -> None:
    origin.route("/a%20b/c", lambda connection: connection.reply(b"ok"))
    origin.route("/", lambda connection: connection.reply(b"root"))
    assert response_of(client.fetch(origin.url("/a%20b/c?q=1&q=%2F&e=#part"))).body == b"ok"
    assert origin.requests[0].target == "/a%20b/c?q=1&q=%2F&e="
    assert response_of(client.fetch(f"HTTP://127.0.0.1:{origin.port}")).body == b"root"


def test_names_are_resolved_and_sent_as_host(client: Client, origin: ScriptedOrigin) -> None:
    origin.route("/x", lambda connection: connection.reply(b"ok"))
    assert response_of(client.fetch(origin.url("/x", host="origin.test"))).body == b"ok"
    assert origin.requests[0].header("host") == f"origin.test:{origin.port}".encode()


def test_ipv6_origin(client: Client) -> None:
    try:
        origin = ScriptedOrigin("::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    try:
        response_of(client.fetch(origin.route("/x", lambda connection: connection.reply())))
        assert origin.requests[0].header("host") == f"[::1]:{origin.port}".encode()
    finally:
        origin.stop()


def test_connections_are_kept_alive(client: Client, nginx: Nginx) -> None:
    replies = [response_of(client.fetch(nginx.url("/hello.txt"))) for _ in range(20)]
    assert len({header_of(reply, "x-connection") for reply in replies}) == 1
    numbers = [int(header_of(reply, "x-request-number") or 0) for reply in replies]
    assert numbers == list(range(numbers[0], numbers[0] + 20))


def test_connection_close_of_the_origin_is_honoured(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b"", headers=(("Connection", "close"),)))
    for _ in range(3):
        reply = client.fetch(url, method="POST")
        response_of(reply)
        assert reply.attempts == 1
    assert origin.accepted == 3


def test_a_connection_the_origin_closed_while_idle_is_not_noticed_by_callers(client: Client, origin: ScriptedOrigin):
    def script(connection: Connection) -> None:
        connection.reply(b"ok")
        connection.close()

    url = origin.route("/x", script)
    for _ in range(20):
        response_of(client.fetch(url, attempts=1))


class TestTls:
    def test_good_certificate(self, client: Client, nginx: Nginx) -> None:
        for host in ("localhost", "origin.test"):
            response = response_of(client.fetch(nginx.url("/tls", "TLS_GOOD", host=host)))
            # The name is sent as SNI.
            assert response.body == f"TLSv1.3 {host}".encode()
        assert response_of(client.fetch(nginx.url("/tls", "TLS_GOOD"))).body == b"TLSv1.3 "

    @pytest.mark.parametrize("server", ["TLS_EXPIRED", "TLS_WRONG_HOST", "TLS_UNTRUSTED"])
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_bad_certificate(self, client: Client, nginx: Nginx, server: str, host: str) -> None:
        reply = client.fetch(nginx.url("/1k", server, host=host))
        error = error_of(reply, pb.TLS_CERTIFICATE_ERROR, pb.PHASE_TLS)
        assert (error.processed, error.retryable, reply.attempts) == (pb.PROCESSED_NO, False, 1)

    def test_old_version(self, client: Client, nginx: Nginx) -> None:
        reply = client.fetch(nginx.url("/", "TLS_OLD", host="localhost"), attempts=1)
        assert reply.error.code in (pb.TLS_PROTOCOL_ERROR, pb.TLS_ALERT_RECEIVED)
        assert reply.error.phase == pb.PHASE_TLS

    def test_origin_wants_a_client_certificate(self, client: Client, nginx: Nginx) -> None:
        response_of(client.fetch(nginx.url("/1k", "TLS_CLIENT_CERT", host="localhost")), 400)

    def test_plain_http_where_tls_was_meant(self, client: Client, nginx: Nginx) -> None:
        url = nginx.url("/1k").replace("http:", "https:")
        error_of(client.fetch(url, attempts=1), pb.TLS_PROTOCOL_ERROR, pb.PHASE_TLS)

    def test_alert_of_the_origin(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            connection.sock.recv(65536)
            # Alert, fatal, handshake_failure.
            connection.send(bytes.fromhex("15030300020228"))

        origin.on_accept = script
        url = origin.url("/").replace("http:", "https:")
        error = error_of(client.fetch(url, attempts=1), pb.TLS_ALERT_RECEIVED, pb.PHASE_TLS)
        assert error.processed == pb.PROCESSED_NO

    def test_sessions_are_resumed(self, client: Client, fetchd: Fetchd, nginx: Nginx, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        origin = ScriptedOrigin(tls=context)
        reused = []

        def script(connection: Connection) -> None:
            reused.append(connection.sock.session_reused)  # type: ignore[attr-defined]
            connection.reply(b"", headers=(("connection", "close"),))
            connection.close()

        try:
            url = origin.route("/x", script)
            for _ in range(3):
                response_of(client.fetch(url))
        finally:
            origin.stop()
        assert reused == [False, True, True]


class TestBodyLimits:
    def test_over_max_bytes_fails_with_the_head(self, client: Client, nginx: Nginx) -> None:
        reply = client.fetch(nginx.url("/1k"), max_bytes=1000)
        error = error_of(reply, pb.HTTP_RESPONSE_BODY_SIZE, pb.PHASE_RECEIVE)
        assert error.partial_response.status == 200
        assert header_of(error.partial_response, "content-length") == b"1024"
        assert (reply.attempts, error.processed, error.retryable) == (1, pb.PROCESSED_YES, False)
        assert "FetchStream" in error.message

    def test_just_fits(self, client: Client, nginx: Nginx, origin: ScriptedOrigin) -> None:
        assert len(response_of(client.fetch(nginx.url("/1k"), max_bytes=1024)).body) == 1024
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
        response = response_of(client.fetch(origin.raw("/x", chunked, "keep"), max_bytes=4, truncate=True))
        assert (response.body, response.truncated) == (b"abcd", False)

    def test_cut_as_asked(self, client: Client, nginx: Nginx) -> None:
        response = response_of(client.fetch(nginx.url("/1k"), max_bytes=1000, truncate=True))
        assert response.body == (nginx.root / "1k").read_bytes()[:1000]
        assert response.truncated

    def test_cut_without_content_length(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

        url = origin.route("/endless", script)
        response = response_of(client.fetch(url, max_bytes=100_000, truncate=True))
        assert (len(response.body), response.truncated) == (100_000, True)
        error_of(client.fetch(url, max_bytes=100_000), pb.HTTP_RESPONSE_BODY_SIZE)
        # And by the server's own limit.
        error_of(client.fetch(url), pb.HTTP_RESPONSE_BODY_SIZE)

    def test_the_servers_limit_keeps_replies_below_4_mib(self, client: Client, nginx: Nginx) -> None:
        url = nginx.sparse("4m", 4 * 1024 * 1024)
        error_of(client.fetch(url), pb.HTTP_RESPONSE_BODY_SIZE)
        error_of(client.fetch(url, max_bytes=2**40), pb.HTTP_RESPONSE_BODY_SIZE)
        response = response_of(client.fetch(url, truncate=True))
        assert (len(response.body), response.truncated) == (3584 * 1024, True)
        assert len(response_of(client.fetch(nginx.sparse("3584k", 3584 * 1024))).body) == 3584 * 1024


class TestErrors:
    def test_nobody_listens(self, client: Client) -> None:
        reply = client.fetch(f"http://127.0.0.1:{refusing_port()}/", attempts=1)
        error = error_of(reply, pb.CONNECTION_REFUSED, pb.PHASE_CONNECT)
        assert (error.processed, error.retryable) == (pb.PROCESSED_NO, True)

    def test_connect_failures_are_attempted_again_whatever_the_method(self, client: Client) -> None:
        reply = client.fetch(f"http://127.0.0.1:{refusing_port()}/", method="POST", body=b"x")
        error_of(reply, pb.CONNECTION_REFUSED)
        assert reply.attempts == 3

    def test_unknown_name(self, client: Client) -> None:
        error = error_of(client.fetch("http://nowhere.test/", attempts=1), pb.DNS_ERROR, pb.PHASE_DNS)
        assert error.processed == pb.PROCESSED_NO
        assert "nowhere.test" in error.message

    def test_partial_response(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.raw("/x", b"HTTP/1.1 206 Partial\r\nx-a: b\r\ncontent-length: 100\r\n\r\n0123456789")
        error = error_of(client.fetch(url, attempts=1), pb.HTTP_RESPONSE_INCOMPLETE, pb.PHASE_RECEIVE)
        assert error.partial_response.status == 206
        assert error.partial_response.body == b"0123456789"
        assert header_of(error.partial_response, "x-a") == b"b"
        assert error.processed == pb.PROCESSED_YES

    def test_query_values_are_not_in_the_error(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.raw("/x", b"")
        error = error_of(client.fetch(url + "?token=hush&page=last", attempts=1), pb.CONNECTION_TERMINATED)
        assert "/x?token=" in error.url
        assert "hush" not in str(error) and "last" not in error.url

    def test_retry_at_is_what_the_origin_said(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 503 Ill\r\nretry-after: 30\r\ncontent-length: 9\r\n\r\nshort")
            connection.close()

        now = time.time()
        error = error_of(client.fetch(origin.route("/x", script), attempts=1), pb.HTTP_RESPONSE_INCOMPLETE)
        assert error.partial_response.body == b"short"
        assert now + 29 < error.retry_at.ToNanoseconds() / 1e9 < time.time() + 31

    def test_refused_requests_have_details(self, client: Client) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            client.fetch("http://127.0.0.1/", method="bad method")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        details = status_details(caught.value)
        assert details["ErrorInfo"].reason == "INVALID_REQUEST"
        assert [violation.field for violation in details["BadRequest"].field_violations] == ["method"]

    def test_forbidden_scheme(self, client: Client) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            client.fetch("file:///etc/passwd")
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert status_details(caught.value)["ErrorInfo"].reason == "URL_FORBIDDEN"

    def test_overload(self, start_fetchd: Any, origin: ScriptedOrigin) -> None:
        small = Client(start_fetchd(limits={"max_in_flight": 2, "batch_concurrency": 2}).channel())
        release = threading.Event()

        def script(connection: Connection) -> None:
            connection.hold(release)
            connection.reply(b"ok")

        url = origin.route("/x", script)
        held = [small.fetch_later(url) for _ in range(2)]
        wait_until(lambda: origin.count("/x") == 2, "both are at the origin")
        with pytest.raises(grpc.RpcError) as caught:
            small.fetch(url)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        details = status_details(caught.value)
        assert details["ErrorInfo"].reason == "OVERLOADED"
        assert details["RetryInfo"].retry_delay.ToMilliseconds() > 0
        release.set()
        for call in held:
            response_of(call.result())
        response_of(small.fetch(url))


def test_many_at_once(client: Client, nginx: Nginx) -> None:
    calls = [client.fetch_later(nginx.url("/1k")) for _ in range(500)]
    expected = (nginx.root / "1k").read_bytes()
    assert all(response_of(call.result()).body == expected for call in calls)


def test_fetch_ids_differ_and_are_in_the_log(client: Client, fetchd: Fetchd, nginx: Nginx) -> None:
    ids = {client.fetch(nginx.url("/1k")).fetch_id for _ in range(10)}
    assert len(ids) == 10
    wait_until(lambda: all(fetch_id in fetchd.access_log() for fetch_id in ids), "all are in the access log")

"""What a request expects of a response, and the part of it that it wants."""

import base64
import gzip
import hashlib
import json
from typing import Any, Dict, List, Optional, Tuple

import grpc
import pytest
from calls import Client, checked_error, error_of, fetch_request, header_of, response_of, violations
from fetchd.v1 import fetch_pb2 as pb
from scripted_origin import ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

MIB = 1024 * 1024
TYPE, DIGEST = pb.CONTENT_TYPE_UNEXPECTED, pb.BODY_DIGEST_MISMATCH
NOT_JSON, MISSING, SIZE = pb.BODY_NOT_JSON, pb.SELECTED_VALUE_MISSING, pb.HTTP_RESPONSE_BODY_SIZE
DOCUMENT = b'{"a": {"b": [10, 2.50, "x\\u00e9"]}, "": null, "m~n": {"o/p": true}, "a": 1, "big": 12345678901234567890123}'


def serve(origin: ScriptedOrigin, path: str, body: bytes, status: int = 200, *headers: Tuple[str, str]) -> str:
    """Routes a body with these headers."""
    return origin.route(path, lambda connection: connection.reply(body, status, headers))


def expecting(url: str, select: Optional[str] = None, method: str = "", **expect: Any) -> pb.FetchRequest:
    """A request with an `expect` of these fields."""
    request = fetch_request(url, method)
    if expect:
        request.expect.CopyFrom(pb.Expectations(**expect))
    if select is not None:
        request.select = select
    return request


def digest(name: str, data: bytes) -> str:
    """A member of Repr-Digest."""
    made = hashlib.new(name.replace("-", ""), data).digest()
    return f"{name}=:{base64.b64encode(made).decode()}:"


def test_content_types(client: Client, origin: ScriptedOrigin) -> None:
    rows: List[Tuple[Optional[str], List[str], bool]] = [
        ("application/json", ["application/json"], True),
        ("Application/JSON; charset=utf-8", ["application/json"], True),
        ("application/json;charset=utf-8", ["text/html", "APPLICATION/*"], True),
        ("application/jsonp", ["application/json"], False),
        ("application/json", ["application/jsonp", "text/*"], False),
        ("text/html", ["*/*"], True),
        ("applications/x", ["application/*"], False),
        ("", ["*/*"], False),
        (None, ["*/*"], False),
        (None, [], True),
    ]
    for has, wanted, fine in rows:
        url = serve(origin, "/x", b"body", 200, *([("content-type", has)] if has is not None else []))
        reply = client.fetch(expecting(url, content_types=wanted))
        if fine:
            assert response_of(reply).body == b"body"
            continue
        error = error_of(reply, TYPE, pb.PHASE_DECODE)
        assert error.partial_response.status == 200 and error.partial_response.body == b"", f"{has} {wanted}"
        assert not error.retryable and error.processed == pb.PROCESSED_YES
        call = client.stream(expecting(url, content_types=wanted))
        assert call.read() == b"" and call.head.status == 200
        checked_error(call.tail.error, TYPE, pb.PHASE_DECODE)
    head = origin.raw("/head", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n", "keep")
    error_of(client.fetch(expecting(head, method="HEAD", content_types=["text/csv"])), TYPE)
    assert client.fetch(expecting(head, method="HEAD", content_types=["text/html"], json=True)).HasField("response")


def test_sha256_of_what_the_caller_gets(client: Client, origin: ScriptedOrigin) -> None:
    data = b"the body" * 1000
    right, wrong = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"another").hexdigest()
    plain = serve(origin, "/plain", data)
    packed = serve(origin, "/packed", gzip.compress(data), 200, ("content-encoding", "gzip"))
    for url in (plain, packed):
        assert response_of(client.fetch(expecting(url, sha256=right))).body == data
        assert response_of(client.fetch(expecting(url, sha256=right.upper()))).body == data
        error = error_of(client.fetch(expecting(url, sha256=wrong)), DIGEST, pb.PHASE_DECODE)
        assert right in error.message and error.partial_response.body == b""
        call = client.stream(expecting(url, sha256=right))
        assert call.read() == data and not call.tail.HasField("error")
        call = client.stream(expecting(url, sha256=wrong))
        assert call.read() == data
        checked_error(call.tail.error, DIGEST, pb.PHASE_DECODE)
    cut = expecting(plain, sha256=right)
    cut.body_policy.max_bytes = 10
    cut.body_policy.on_overflow = pb.BodyPolicy.OVERFLOW_TRUNCATE
    assert "cut" in error_of(client.fetch(cut), DIGEST).message


def test_digests_of_the_origin(client: Client, origin: ScriptedOrigin) -> None:
    data = b"content" * 100
    packed = gzip.compress(data)
    verify, require = pb.Expectations.DIGEST_VERIFY, pb.Expectations.DIGEST_REQUIRE
    good256, good512 = digest("sha-256", packed), digest("sha-512", packed)
    bad = digest("sha-256", data)  # of the decoded body, which is not what the field is about
    rows: List[Tuple[List[Tuple[str, str]], int, bool, bool]] = [
        ([], 200, True, False),
        ([("repr-digest", good256)], 200, True, True),
        ([("Content-Digest", good512)], 200, True, True),
        ([("repr-digest", f"md5=:AAAA:, {good512};p=1 ,  {good256}")], 200, True, True),
        ([("repr-digest", good256), ("repr-digest", good512), ("content-digest", good256)], 200, True, True),
        ([("repr-digest", bad)], 200, False, False),
        ([("repr-digest", good256), ("content-digest", bad)], 200, False, False),
        ([("repr-digest", f"{good512}, {bad}")], 200, False, False),
        ([("repr-digest", "md5=:AAAA:")], 200, True, False),
        ([("repr-digest", "sha-256=AAAA")], 200, False, False),
        ([("repr-digest", "sha-256=:AAAA:")], 200, False, False),
        ([("repr-digest", "sha-256=:!:")], 200, False, False),
        ([("repr-digest", "sha-256")], 200, False, False),
        ([("repr-digest", bad)], 206, True, False),
        ([("content-digest", bad)], 206, False, False),
        ([("content-digest", good256)], 206, True, True),
        # The contract is about what is asked for, not about errors.
        ([("repr-digest", bad)], 404, True, True),
    ]
    for fields, status, verified, required in rows:
        url = serve(origin, "/x", packed, status, ("content-encoding", "gzip"), *fields)
        for mode, fine in ((verify, verified), (require, required), (pb.Expectations.DIGEST_IGNORE, True)):
            reply = client.fetch(expecting(url, digest=mode))
            if fine:
                assert response_of(reply, status).body == (packed if status == 206 else data), f"{fields} {mode}"
            else:
                error_of(reply, DIGEST, pb.PHASE_DECODE)


def test_json_is_checked_before_a_byte_of_it_is_given_on(client: Client, origin: ScriptedOrigin) -> None:
    rows: Dict[bytes, bool] = {
        DOCUMENT: True,
        b"1": True,
        b" [] \n": True,
        b"\xef\xbb\xbf{}": True,
        b"": False,
        b"{": False,
        b"[1,]": False,
        b'{"a":1} x': False,
        b'"\xff"': False,
        b"<html>": False,
        b"[" * 257 + b"]" * 257: False,
        b"[" * 256 + b"]" * 256: True,
    }
    for body, fine in rows.items():
        for url in (
            serve(origin, "/plain", body),
            serve(origin, "/packed", gzip.compress(body), 200, ("content-encoding", "gzip")),
        ):
            reply = client.fetch(expecting(url, json=True))
            call = client.stream(expecting(url, json=True))
            if fine:
                assert response_of(reply).body == body
                assert call.read() == body and not call.tail.HasField("error")
            else:
                error = error_of(reply, NOT_JSON, pb.PHASE_DECODE)
                assert error.partial_response.status == 200 and error.partial_response.body == b"", body
                assert call.read() == b"" and call.head.status == 200
                checked_error(call.tail.error, NOT_JSON, pb.PHASE_DECODE)
    failed = serve(origin, "/404", b"<html>", 404)
    assert response_of(client.fetch(expecting(failed, json=True)), 404).body == b"<html>"
    none = origin.raw("/204", b"HTTP/1.1 204 No Content\r\n\r\n", "keep")
    error_of(client.fetch(expecting(none, json=True)), NOT_JSON)


def test_selection(client: Client, origin: ScriptedOrigin) -> None:
    rows: List[Tuple[str, Optional[bytes]]] = [
        ("", DOCUMENT),
        ("/a/b", b'[10, 2.50, "x\\u00e9"]'),
        ("/a/b/0", b"10"),
        ("/a/b/1", b"2.50"),
        ("/a/b/2", b'"x\\u00e9"'),
        ("/", b"null"),
        ("/m~0n/o~1p", b"true"),
        ("/big", b"12345678901234567890123"),
        ("/a", b'{"b": [10, 2.50, "x\\u00e9"]}'),
        ("/a/b/3", None),
        ("/a/b/01", None),
        ("/nothing", None),
        ("/big/0", None),
    ]
    url = serve(origin, "/x", gzip.compress(DOCUMENT), 200, ("content-encoding", "gzip"), ("etag", '"1"'))
    for pointer, wanted in rows:
        reply = client.fetch(expecting(url, pointer))
        call = client.stream(expecting(url, pointer))
        if wanted is None:
            error = error_of(reply, MISSING, pb.PHASE_DECODE)
            assert error.partial_response.status == 200 and error.partial_response.body == b""
            assert call.read() == b""
            checked_error(call.tail.error, MISSING, pb.PHASE_DECODE)
            continue
        response = response_of(reply)
        assert response.body == wanted
        assert header_of(response, "content-length") is None and header_of(response, "etag") == b'"1"'
        assert call.read() == wanted and not call.tail.HasField("error")
    results = [result for m in client.batch([expecting(url, p) for p, _ in rows], order=2) for result in m.results]
    for (pointer, wanted), result in zip(rows, results):
        assert result.fetch.response.body == (wanted or b""), pointer
    error_of(client.fetch(expecting(serve(origin, "/html", b"<html>"), "/a")), NOT_JSON)
    assert response_of(client.fetch(expecting(serve(origin, "/500", b"oh", 400), "/a")), 400).body == b"oh"


def test_200_bytes_of_20_mb(client: Client, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
    document = json.dumps({"rows": [{"n": i, "text": "x" * 170} for i in range(100_000)], "count": 100_000}).encode()
    assert len(document) > 18 * MIB
    for path, body, headers in (("/plain", document, ()), ("/gz", gzip.compress(document, 1), (("content-encoding", "gzip"),))):
        url = serve(origin, path, body, 200, *headers)
        assert response_of(client.fetch(expecting(url, "/count"))).body == b"100000"
        assert json.loads(response_of(client.fetch(expecting(url, "/rows/99999"))).body) == {"n": 99_999, "text": "x" * 170}
        # What is selected is still too large for one reply, and not for a stream.
        error = error_of(client.fetch(expecting(url, "/rows")), SIZE, pb.PHASE_DECODE)
        assert "selected" in error.message
        call = client.stream(expecting(url, "/rows"))
        assert len(json.loads(call.read())) == 100_000
    wait_until(lambda: fetchd.metric("fetchd_held_body_bytes") == 0, "no body is held")


def test_limits_of_a_selection(client: Client, origin: ScriptedOrigin) -> None:
    url = serve(origin, "/x", b'{"a": "0123456789"}')
    for size in (11, 12, 13):
        request = expecting(url, "/a")
        request.body_policy.max_bytes = size
        reply = client.fetch(request)
        request.body_policy.on_overflow = pb.BodyPolicy.OVERFLOW_TRUNCATE
        cut = response_of(client.fetch(request))
        assert cut.body == b'"0123456789"'[:size] and cut.truncated == (size < 12)
        if size < 12:
            error_of(reply, SIZE)
        else:
            assert response_of(reply).body == b'"0123456789"'


def test_the_servers_limit_for_json(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server: Fetchd = start_fetchd(limits={"max_selected_body_bytes": "64KiB"})
    client = Client(server.channel())
    for size in (65_535, 65_536, 65_537):
        body = b'{"a":1}' + b" " * (size - 7)
        for path, data, headers in (
            ("/plain", body, ()),
            ("/gz", gzip.compress(body), (("content-encoding", "gzip"),)),
        ):
            url = serve(origin, path, data, 200, *headers)
            for request in (expecting(url, "/a"), expecting(url, json=True)):
                call = client.stream(request)
                got = call.read()
                if size > 65_536:
                    assert got == b""
                    checked_error(call.tail.error, SIZE)
                else:
                    assert not call.tail.HasField("error") and got.startswith(b"1" if request.HasField("select") else b"{")
                if request.HasField("select"):
                    reply = client.fetch(request)
                    assert error_of(reply, SIZE) if size > 65_536 else response_of(reply).body == b"1"


def test_pages_are_checked_too(client: Client, origin: ScriptedOrigin) -> None:
    url = serve(origin, "/x", b"[1]", 200, ("content-type", "text/html"))
    (end,) = client.paged(expecting(url, content_types=["application/json"]), link_header={})
    checked_error(end.end.error, TYPE, pb.PHASE_DECODE)
    page, end = client.paged(expecting(url, content_types=["text/*"], json=True), link_header={})
    assert page.page.response.body == b"[1]"
    with pytest.raises(grpc.RpcError) as error:
        list(client.paged(expecting(url, "/a"), link_header={}))
    assert "request.select" in violations(error.value)


def test_bad_values(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.url("/x")
    for request, field in [
        (expecting(url, content_types=["json"]), "expect.content_types[0]"),
        (expecting(url, content_types=["text/html", "text/html; charset=utf-8"]), "expect.content_types[1]"),
        (expecting(url, content_types=["*/html"]), "expect.content_types[0]"),
        (expecting(url, content_types=["text/h*"]), "expect.content_types[0]"),
        (expecting(url, content_types=["a/b"] * 33), "expect.content_types"),
        (expecting(url, sha256="00"), "expect.sha256"),
        (expecting(url, sha256="g" * 64), "expect.sha256"),
        (expecting(url, digest=9), "expect.digest"),
        (expecting(url, "a"), "select"),
        (expecting(url, "/~2"), "select"),
        (expecting(url, "/" + "x" * 1024), "select"),
    ]:
        with pytest.raises(grpc.RpcError) as error:
            client.fetch(request)
        assert list(violations(error.value)) == [field]
    (result,) = [r for m in client.batch([expecting(url, "a")]) for r in m.results]
    assert "select" in error_of(result.fetch, pb.REQUEST_INVALID).message
    assert not origin.requests

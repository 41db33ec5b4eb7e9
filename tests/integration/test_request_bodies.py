"""Request bodies as forms, JSON and multipart, at origins that parse them; and parts that are streamed."""

import base64
import email.parser
import email.policy
import hashlib
import json
import random
import threading
import urllib.parse
from typing import Any, Dict, Iterator, List, Optional, Tuple

import grpc
import pytest
from calls import DEADLINE, Client, StreamCall, duration, response_of, violations
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from real_origins import Httpbin, Nginx
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER, wait_until

pytestmark = pytest.mark.usefixtures("quiet")

MIB = 1024 * 1024
Part = pb.MultipartPart


def form(fields: List[Tuple[str, str]]) -> List[pb.FormField]:
    return [pb.FormField(name=name, value=value) for name, value in fields]


def multipart(*parts: Part) -> pb.MultipartBody:
    return pb.MultipartBody(parts=parts)


def fetched(client: Client, rpc: str, request: pb.FetchRequest) -> bytes:
    """The body of a 200, by any of the RPCs."""
    if rpc == "Fetch":
        return response_of(client.fetch(request)).body
    if rpc == "FetchBatch":
        results = [result for message in client.batch([request]) for result in message.results]
        return response_of(results[0].fetch).body
    if rpc == "FetchStream":
        call = client.stream(request)
        body = call.read()
        assert call.head is not None and call.head.status == 200
        return body
    messages = list(client.paged(request, link_header=service_pb.LinkHeaderStrategy()))
    assert messages[0].page.response.status == 200
    return messages[0].page.response.body


RPCS = ["Fetch", "FetchBatch", "FetchStream", "FetchPaged"]


def echo(connection: Connection) -> None:
    assert connection.request is not None
    connection.reply(connection.request.body)


def parsed(content_type: bytes, body: bytes) -> List[Tuple[str, Optional[str], str, bytes]]:
    """Name, file name, type and data of each part, by Python's own MIME parser."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"content-type: " + content_type + b"\r\n\r\n" + body
    )
    assert message.is_multipart() and not message.defects, message.defects
    parts = []
    for part in message.iter_parts():
        assert not part.defects, part.defects
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        parts.append((str(name), part.get_filename(), part.get_content_type(), data))
    return parts


class TestHttpbin:
    """What httpbin (Flask) makes of it."""

    @pytest.mark.parametrize("rpc", RPCS)
    def test_a_form(self, client: Client, httpbin: Httpbin, rpc: str) -> None:
        fields = [("name", "Zo\u00eb & Co."), ("empty", ""), ("many", "1"), ("many", "2"), ("a+b=c", "100 %")]
        seen = json.loads(fetched(client, rpc, pb.FetchRequest(url=httpbin.url("/anything"), form=form(fields))))
        assert seen["method"] == "POST"
        assert seen["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
        assert seen["form"] == {"name": "Zo\u00eb & Co.", "empty": "", "many": ["1", "2"], "a+b=c": "100 %"}
        assert seen["data"] == "" and seen["files"] == {}

    @pytest.mark.parametrize("rpc", RPCS)
    def test_json(self, client: Client, httpbin: Httpbin, rpc: str) -> None:
        text = '{ "n": 0.10000000000000000000001,"s":"\u00e9\\u00e9" , "l":[1,2.50]}\n'
        seen = json.loads(fetched(client, rpc, pb.FetchRequest(url=httpbin.url("/anything"), json=text)))
        assert seen["method"] == "POST" and seen["headers"]["Content-Type"] == "application/json"
        assert seen["data"] == text
        assert seen["json"] == json.loads(text)

    @pytest.mark.parametrize("rpc", RPCS)
    def test_multipart(self, client: Client, httpbin: Httpbin, rpc: str) -> None:
        blob = bytes(range(256)) * 5
        body = multipart(
            Part(name="title", data="gr\u00fc\u00df dich".encode()),
            Part(name="list", data=b"1"),
            Part(name="list", data=b"2"),
            Part(name="note", filename="n.txt", content_type="text/plain", data=b"one\r\n--two--\r\n"),
            Part(name="blob", filename="b.bin", data=blob),
        )
        seen = json.loads(fetched(client, rpc, pb.FetchRequest(url=httpbin.url("/anything"), multipart=body)))
        assert seen["method"] == "POST"
        assert seen["headers"]["Content-Type"].startswith("multipart/form-data; boundary=fetchd-")
        assert seen["form"] == {"title": "gr\u00fc\u00df dich", "list": ["1", "2"]}
        assert seen["files"]["note"] == "one\r\n--two--\r\n"
        assert base64.b64decode(seen["files"]["blob"].partition("base64,")[2]) == blob

    def test_streamed_parts(self, client: Client, httpbin: Httpbin) -> None:
        messages: List[Any] = [Part(name="a", data=b"first "), b"field", Part(name="b"), Part(name="f", filename="f.txt")]
        messages += [b"x" * 100_000] * 3 + [b"", Part(name="end", data=b"!")]
        seen = json.loads(stream_parts(client, pb.FetchRequest(url=httpbin.url("/anything")), messages).read())
        assert seen["method"] == "POST" and seen["headers"]["Transfer-Encoding"] == "chunked"
        assert seen["form"] == {"a": "first field", "b": "", "end": "!"}
        assert seen["files"] == {"f": "x" * 300_000}

    def test_another_method_and_type(self, client: Client, httpbin: Httpbin) -> None:
        request = pb.FetchRequest(url=httpbin.url("/anything"), method="PATCH", json='{"a": 1}')
        request.headers.add(name="Content-Type", value=b"application/merge-patch+json")
        seen = json.loads(response_of(client.fetch(request)).body)
        assert seen["method"] == "PATCH" and seen["headers"]["Content-Type"] == "application/merge-patch+json"
        assert seen["data"] == '{"a": 1}'


class TestBytes:
    def test_forms_come_back_from_pythons_parser(self, client: Client, origin: ScriptedOrigin) -> None:
        chance = random.Random(5)
        url = origin.route("/x", echo)

        def word() -> str:
            return "".join(chr(chance.choice([chance.randrange(128), chance.randrange(0x100, 0xD800)])) for _ in range(5))

        for _ in range(30):
            fields = [(word(), word()) for _ in range(8)]
            body = response_of(client.fetch(pb.FetchRequest(url=url, form=form(fields)))).body
            assert urllib.parse.parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True) == fields

    def test_multipart_comes_back_from_pythons_parser(self, client: Client, origin: ScriptedOrigin) -> None:
        chance = random.Random(6)
        url = origin.route("/x", echo)
        seen = set()
        for _ in range(30):
            parts = [
                Part(name=f"n{i}", filename="" if i % 2 else f"f {i}", data=chance.randbytes(chance.randrange(300)))
                for i in range(chance.randrange(1, 8))
            ]
            body = response_of(client.fetch(pb.FetchRequest(url=url, multipart=multipart(*parts)))).body
            sent = origin.requests[-1].header("content-type")
            assert sent is not None
            seen.add(sent)
            assert parsed(sent, body) == [
                (p.name, p.filename or None, "application/octet-stream" if p.filename else "text/plain", p.data)
                for p in parts
            ]
        assert len(seen) == 30

    def test_a_name_cannot_break_out_of_its_header(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", echo)
        evil = 'a"; filename="x\r\nx-evil: 1\r\n\r\nbody'
        request = pb.FetchRequest(url=url, multipart=multipart(Part(name=evil, filename=evil, data=b"data")))
        body = response_of(client.fetch(request)).body
        (part,) = parsed(origin.requests[-1].header("content-type") or b"", body)
        escaped = "a%22; filename=%22x%0D%0Ax-evil: 1%0D%0A%0D%0Abody"
        assert (part[0], part[1], part[3]) == (escaped, escaped, b"data")

    def test_lengths_are_said(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", echo)
        for request in [
            pb.FetchRequest(url=url, form=form([("a", "b")])),
            pb.FetchRequest(url=url, json="[]"),
            pb.FetchRequest(url=url, multipart=multipart(Part(name="a"))),
        ]:
            body = response_of(client.fetch(request)).body
            assert origin.requests[-1].header("content-length") == str(len(body)).encode()
            assert origin.requests[-1].header("transfer-encoding") is None

    def test_a_retry_sends_the_same_bytes(self, client: Client, origin: ScriptedOrigin) -> None:
        def script(connection: Connection) -> None:
            if origin.count("/x") % 2:
                connection.reply(b"", 503)
            else:
                echo(connection)

        url = origin.route("/x", script)
        retry = pb.RetryPolicy(idempotent=True, initial_backoff=duration(0.001))
        for request in [
            pb.FetchRequest(url=url, form=form([("a", "b")]), retry=retry),
            pb.FetchRequest(url=url, json='{"a":1}', retry=retry),
            pb.FetchRequest(url=url, multipart=multipart(Part(name="a", data=b"x")), retry=retry),
        ]:
            reply = client.fetch(request)
            assert reply.attempts == 2
            first, second = origin.requests[-2:]
            assert first.head == second.head and first.body == second.body == response_of(reply).body != b""

    def test_a_large_form_and_a_large_file(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda c: c.reply(hashlib.sha256(c.request.body).hexdigest().encode()))  # type: ignore
        value = "\u00e9" * 300_000
        body = response_of(client.fetch(pb.FetchRequest(url=url, form=form([("v", value)])))).body
        assert body == hashlib.sha256(("v=" + "%C3%A9" * 300_000).encode()).hexdigest().encode()
        data = random.Random(7).randbytes(3 * MIB)
        client.fetch(pb.FetchRequest(url=url, multipart=multipart(Part(name="f", filename="f", data=data))))
        request = origin.requests[-1]
        assert parsed(request.header("content-type") or b"", request.body)[0][3] == data


class TestRefused:
    def test_by_name(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.url("/x")
        part = multipart(Part(name="a"))
        typed = pb.FetchRequest(url=url, multipart=part)
        typed.headers.add(name="content-type", value=b"multipart/form-data; boundary=x")
        for request, field in [
            (pb.FetchRequest(url=url, body=b"x", json="{}"), "json"),
            (pb.FetchRequest(url=url, body=b"x", form=form([("a", "b")])), "form"),
            (pb.FetchRequest(url=url, json="{}", multipart=part), "multipart"),
            (pb.FetchRequest(url=url, json="{"), "json"),
            (pb.FetchRequest(url=url, json=""), "json"),
            (pb.FetchRequest(url=url, json="[1e]"), "json"),
            (pb.FetchRequest(url=url, multipart=pb.MultipartBody()), "multipart.parts"),
            (pb.FetchRequest(url=url, multipart=multipart(Part(name="a"), Part())), "multipart.parts[1].name"),
            (pb.FetchRequest(url=url, multipart=multipart(Part(name="a\0"))), "multipart.parts[0].name"),
            (typed, "headers"),
        ]:
            with pytest.raises(grpc.RpcError) as caught:
                client.fetch(request)
            assert list(violations(caught.value)) == [field]
            (message,) = client.batch([request])
            error = message.results[0].fetch.error
            assert error.code == pb.REQUEST_INVALID and f"requests[0].{field}" in error.message
            with pytest.raises(grpc.RpcError) as caught:
                list(client.paged(request, link_header=service_pb.LinkHeaderStrategy()))
            assert list(violations(caught.value)) == [f"request.{field}"]
            with pytest.raises(grpc.RpcError) as caught:
                client.stream(request).read()
            assert list(violations(caught.value)) == [f"start.request.{field}"]
        assert origin.accepted == 0

    def test_another_body_resumes_no_list(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b"{}", headers=(("link", '</x?2>; rel="next"'),)))
        strategy = service_pb.LinkHeaderStrategy()
        same = pb.FetchRequest(url=url, multipart=multipart(Part(name="a", data=b"1")))
        token = list(client.paged(same, link_header=strategy, max_pages=1))[-1].resume_token
        assert token
        list(client.paged(same, link_header=strategy, max_pages=1, resume_token=token))
        other = pb.FetchRequest(url=url, multipart=multipart(Part(name="a", data=b"2")))
        with pytest.raises(grpc.RpcError) as caught:
            list(client.paged(other, link_header=strategy, max_pages=1, resume_token=token))
        assert list(violations(caught.value)) == ["resume_token"]


def parts_messages(request: pb.FetchRequest, parts: Any) -> Iterator[service_pb.FetchStreamRequest]:
    """A start, and a message for each part or chunk."""
    yield service_pb.FetchStreamRequest(start=service_pb.FetchStreamStart(request=request, streams_multipart=True))
    for part in parts:
        if isinstance(part, bytes):
            yield service_pb.FetchStreamRequest(chunk=part)
        else:
            yield service_pb.FetchStreamRequest(part=part)


def stream_parts(client: Client, request: pb.FetchRequest, parts: Any) -> StreamCall:
    """FetchStream of a body in parts."""
    return StreamCall(
        client.stub.FetchStream(parts_messages(request, parts), timeout=DEADLINE, metadata=client.metadata)
    )


def pieces(total: int, size: int = 256 * 1024) -> Iterator[bytes]:
    for at in range(0, total, size):
        yield (at.to_bytes(8, "big") * (size // 8))[: min(size, total - at)]


class TestStreamedParts:
    def test_bytes(self, client: Client, origin: ScriptedOrigin) -> None:
        call = stream_parts(
            client,
            pb.FetchRequest(url=origin.route("/x", echo)),
            [Part(name="a"), Part(name="b", data=b"b1"), b"b2", b"b3", Part(name="f", filename="f", content_type="t/x")],
        )
        body = call.read()
        request = origin.requests[-1]
        assert request.header("transfer-encoding") == b"chunked" and request.header("content-length") is None
        kind = request.header("content-type") or b""
        boundary = kind.partition(b"boundary=")[2]
        assert body == (
            b"--%b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n"
            b"\r\n--%b\r\ncontent-disposition: form-data; name=\"b\"\r\n\r\nb1b2b3"
            b"\r\n--%b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"f\"\r\ncontent-type: t/x\r\n\r\n"
            b"\r\n--%b--\r\n" % (boundary, boundary, boundary, boundary)
        )

    def test_a_big_file_between_fields(self, client: Client, nginx: Nginx) -> None:
        size = (8 if SANITIZER else 64) * MIB

        def parts() -> Iterator[Any]:
            yield Part(name="before", data=b"1")
            yield Part(name="file", filename="big")
            yield from pieces(size)
            yield Part(name="after", data=b"2")

        call = stream_parts(client, pb.FetchRequest(url=nginx.url("/upload/parts"), method="PUT"), parts())
        call.read()
        assert call.head is not None and call.head.status == 201
        stored = (nginx.directory / "upload" / "parts").read_bytes()
        boundary = stored[2 : stored.index(b"\r\n")]
        sections = stored.split(b"--" + boundary)
        assert len(sections) == 5 and sections[0] == b"" and sections[4] == b"--\r\n"
        head, _, data = sections[2].partition(b"\r\n\r\n")
        assert b'filename="big"' in head
        assert hashlib.sha256(data[:-2]).digest() == hashlib.sha256(b"".join(pieces(size))).digest()

    def test_many_parts(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda c: c.reply(str(c.request.body.count(b"content-disposition")).encode()))  # type: ignore
        parts = [Part(name="p", data=b"d") for _ in range(3000)]
        assert stream_parts(client, pb.FetchRequest(url=url), parts).read() == b"3000"

    def test_an_origin_that_does_not_read_stops_the_caller(
        self, client: Client, origin: ScriptedOrigin, fetchd: Fetchd
    ) -> None:
        go = threading.Event()
        taken = 0

        def script(connection: Connection) -> None:
            assert go.wait(30)
            connection.reply(str(len(connection.read_body())).encode())

        def parts() -> Iterator[Any]:
            nonlocal taken
            yield Part(name="f", filename="f")
            for piece in pieces(64 * MIB):
                taken += len(piece)
                yield piece

        url = origin.route("/x", script, read_body=False)
        request = pb.FetchRequest(url=url)
        request.timeouts.send_idle.CopyFrom(duration(60))
        call = stream_parts(client, request, parts())
        last = -1

        def stalled() -> bool:
            nonlocal last
            before, last = last, taken
            threading.Event().wait(0.2)
            return 0 < before == taken

        wait_until(stalled, "the caller can send no more")
        assert taken < 32 * MIB, f"{taken / MIB:.0f} MiB were taken from the caller"
        go.set()
        assert int(call.read()) > 64 * MIB

    def test_a_cancelled_upload_is_never_ended_like_a_whole_one(self, client: Client, origin: ScriptedOrigin) -> None:
        got: List[bytes] = []
        more = threading.Event()

        def script(connection: Connection) -> None:
            while b"begun" not in connection._buffer:  # pylint: disable=protected-access
                assert connection._fill()  # pylint: disable=protected-access
            more.set()
            while connection._fill():  # pylint: disable=protected-access
                pass
            got.append(connection._buffer)  # pylint: disable=protected-access
            connection.close()

        hang = threading.Event()

        def parts() -> Iterator[Any]:
            yield Part(name="a", data=b"begun")
            hang.wait(30)

        url = origin.route("/x", script, read_body=False)
        call = stream_parts(client, pb.FetchRequest(url=url), parts())
        assert more.wait(10)
        call.call.cancel()
        wait_until(lambda: bool(got), "the connection is closed")
        hang.set()
        assert got[0].endswith(b"begun\r\n"), "neither the last delimiter nor the last chunk"

    def test_bad_messages(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.hold(), read_body=False)
        request = pb.FetchRequest(url=url)
        rows: List[Tuple[List[Any], str]] = [
            ([b"a chunk first"], "chunk"),
            ([], "part"),
            ([Part(name="")], "part.name"),
            ([Part(name="a"), Part(name="b\x01")], "part.name"),
            ([Part(name="a", content_type="x\r\ny: z")], "part.content_type"),
        ]
        for parts, field in rows:
            with pytest.raises(grpc.RpcError) as caught:
                stream_parts(client, request, parts).read()
            assert list(violations(caught.value)) == [field], parts
            wait_until(lambda: origin.open_connections() == 0, "the fetch is aborted")

    def test_parts_that_were_not_announced(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.hold(), read_body=False)
        for flags in ({}, {"streams_body": True}):
            start = service_pb.FetchStreamStart(request=pb.FetchRequest(url=url, method="POST"), **flags)
            messages = [
                service_pb.FetchStreamRequest(start=start),
                service_pb.FetchStreamRequest(part=Part(name="a", data=b"x")),
            ]
            with pytest.raises(grpc.RpcError) as caught:
                list(client.stub.FetchStream(iter(messages), timeout=DEADLINE, metadata=client.metadata))
            assert list(violations(caught.value)) == ["part"]
        with pytest.raises(grpc.RpcError) as caught:
            first = [service_pb.FetchStreamRequest(part=Part(name="a"))]
            list(client.stub.FetchStream(iter(first), timeout=DEADLINE, metadata=client.metadata))
        assert list(violations(caught.value)) == ["start"]

    def test_starts_that_contradict_themselves(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.url("/x")
        rows: List[Tuple[Dict[str, Any], str]] = [
            ({"streams_multipart": True, "streams_body": True}, "start.streams_multipart"),
            ({"streams_multipart": True, "body_length": 3}, "start.body_length"),
        ]
        for flags, field in rows:
            start = service_pb.FetchStreamStart(request=pb.FetchRequest(url=url), **flags)
            with pytest.raises(grpc.RpcError) as caught:
                first = [service_pb.FetchStreamRequest(start=start)]
                list(client.stub.FetchStream(iter(first), timeout=DEADLINE, metadata=client.metadata))
            assert list(violations(caught.value)) == [field]
        for request in (pb.FetchRequest(url=url, json="1"), pb.FetchRequest(url=url, form=form([("a", "b")]))):
            with pytest.raises(grpc.RpcError) as caught:
                stream_parts(client, request, [Part(name="a")]).read()
            assert list(violations(caught.value))[0].startswith("start.request.")
        assert origin.accepted == 0

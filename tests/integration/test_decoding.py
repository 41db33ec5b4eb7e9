"""Content codings: undone on the way, from real origins and from scripted ones; and the bodies that must be refused."""

import gzip
import hashlib
import pathlib
import random
import re
import subprocess
import zlib
from typing import Any, Callable, Dict, List, Optional, Tuple

import grpc
import pytest
from calls import Client, checked_error, error_of, fetch_request, header_of, response_of, violations
from fetchd.v1 import fetch_pb2 as pb
from real_origins import Nginx
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import SANITIZER, wait_until
from web_servers import PAGE

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
ASKED = b"gzip, deflate, br, zstd"
TEXT = b"".join(b"line %d of a text that packs well\n" % i for i in range(5000))
NOISE = random.Random(5).randbytes(40_000)

CODING = pb.HTTP_RESPONSE_CONTENT_CODING
LIMIT = pb.CONTENT_CODING_LIMIT


def deflate_bare(data: bytes) -> bytes:
    """RFC 1951 without a header, as some origins send it under the name of deflate."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def tool(*command: str) -> Callable[[bytes], bytes]:
    """What a command line tool makes of its input."""
    return lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


br = tool("brotli", "-c", "-q", "5")
zstd = tool("zstd", "-c", "-q")

# By the name of the coding, and what makes it.
CODINGS: List[Tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("gzip", lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:])),
    ("deflate", zlib.compress),
    ("deflate", deflate_bare),
    ("br", br),
    ("zstd", zstd),
    ("zstd", lambda data: zstd(data[:1000]) + zstd(data[1000:])),
]


def coded(
    origin: ScriptedOrigin, path: str, body: bytes, coding: str, status: int = 200, chunk: int = 0, **headers: str
) -> str:
    """Routes a body with this Content-Encoding; in chunks of so many bytes if asked."""
    fields = [("content-encoding", coding), *((name.replace("_", "-"), value) for name, value in headers.items())]

    def script(connection: Connection) -> None:
        if not chunk:
            return connection.reply(body, status, tuple(fields))
        head = f"HTTP/1.1 {status} Scripted\r\ntransfer-encoding: chunked\r\n"
        connection.send((head + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n").encode())
        for at in range(0, len(body), chunk):
            piece = body[at : at + chunk]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.send(b"0\r\n\r\n")

    return origin.route(path, script)


def is_plain(response: Any, decoded: List[str]) -> None:
    """The head says that these codings were undone, and nothing that would be wrong now."""
    assert list(response.decoded) == decoded
    assert header_of(response, "content-encoding") is None
    assert header_of(response, "content-length") is None


@pytest.mark.parametrize("chunk", [0, 1, 999])
@pytest.mark.parametrize("number", range(len(CODINGS)))
def test_every_coding_is_undone(client: Client, origin: ScriptedOrigin, number: int, chunk: int) -> None:
    name, pack = CODINGS[number]
    data = TEXT[:3000] if chunk == 1 else TEXT
    response = response_of(client.fetch(coded(origin, "/x", pack(data), name, chunk=chunk, etag='"1"')))
    assert response.body == data
    is_plain(response, [name])
    assert header_of(response, "etag") == b'"1"'
    assert origin.requests[0].header("accept-encoding") == ASKED


def test_in_every_rpc(client: Client, origin: ScriptedOrigin) -> None:
    names = [name for name, _ in CODINGS]
    urls = [coded(origin, f"/{i}", pack(TEXT), name) for i, (name, pack) in enumerate(CODINGS)]
    results = [result for message in client.batch(urls, order=2) for result in message.results]
    for name, result in zip(names, results):
        assert response_of(result.fetch).body == TEXT
        is_plain(result.fetch.response, [name])
    for name, url in zip(names, urls):
        call = client.stream(url)
        assert call.read() == TEXT
        is_plain(call.head, [name])
        assert call.tail.body_bytes == len(TEXT) and not call.tail.HasField("error")
        page, end = client.paged(url, link_header={})
        assert page.page.response.body == TEXT
        is_plain(page.page.response, [name])
        assert end.end.pages == 1


def test_items_of_a_coded_page(client: Client, origin: ScriptedOrigin) -> None:
    url = coded(origin, "/x", br(b'{"items": [1, 22, {"a": "b"}]}'), "br")
    messages = list(client.paged(url, link_header={}, items="/items", unit=2))
    assert [bytes(item) for item in messages[0].items.items] == [b"1", b"22", b'{"a": "b"}']


@pytest.mark.parametrize("server", ["HTTP", "TLS_HTTP_2"])
def test_nginx_compresses_because_it_is_asked(client: Client, nginx: Nginx, server: str) -> None:
    url = nginx.url("/compressed/page.html", server, "localhost" if server.startswith("TLS") else "127.0.0.1")
    response = response_of(client.fetch(url))
    assert response.body == PAGE
    is_plain(response, ["gzip"])
    plain = fetch_request(url)
    plain.body_policy.coding = pb.BodyPolicy.CODING_PASS_THROUGH
    response = response_of(client.fetch(plain))
    assert response.body == PAGE and not response.decoded


def test_what_is_asked_of_the_origin_and_what_is_undone(client: Client, origin: ScriptedOrigin) -> None:
    packed = gzip.compress(TEXT)
    url = coded(origin, "/x", packed, "gzip")
    policy = pb.BodyPolicy
    own: Tuple[Tuple[str, bytes], ...] = (("Accept-Encoding", b"gzip;q=0.5"),)
    part: Tuple[Tuple[str, bytes], ...] = (("range", b"bytes=0-"),)
    rows: List[Tuple[str, int, Any, Optional[bytes], bool]] = [
        ("GET", policy.CODING_UNSPECIFIED, (), ASKED, True),
        ("GET", policy.CODING_DECODE, (), ASKED, True),
        ("GET", policy.CODING_PASS_THROUGH, (), None, False),
        ("GET", policy.CODING_UNSPECIFIED, own, b"gzip;q=0.5", False),
        ("GET", policy.CODING_DECODE, own, b"gzip;q=0.5", True),
        ("GET", policy.CODING_PASS_THROUGH, own, b"gzip;q=0.5", False),
        ("GET", policy.CODING_UNSPECIFIED, part, None, False),
        ("GET", policy.CODING_DECODE, part, None, True),
        ("POST", policy.CODING_UNSPECIFIED, (), ASKED, True),
    ]
    for method, coding, headers, asked, decoded in rows:
        request = fetch_request(url, method, headers=headers)
        request.body_policy.coding = coding
        response = response_of(client.fetch(request))
        row = f"{method} {coding} {headers}"
        assert origin.requests[-1].header("accept-encoding") == asked, row
        assert response.body == (TEXT if decoded else packed), row
        assert bool(response.decoded) == decoded and (header_of(response, "content-encoding") is None) == decoded, row


def test_several_codings_and_those_that_are_not_ours(client: Client, origin: ScriptedOrigin) -> None:
    three = zstd(br(gzip.compress(TEXT)))
    response = response_of(client.fetch(coded(origin, "/3", three, "gzip, br, zstd")))
    assert response.body == TEXT
    is_plain(response, ["gzip", "br", "zstd"])
    error = error_of(client.fetch(coded(origin, "/4", gzip.compress(three), "gzip, br, zstd, gzip")), LIMIT, pb.PHASE_DECODE)
    assert error.processed == pb.PROCESSED_YES and not error.retryable
    assert header_of(error.partial_response, "content-encoding") == b"gzip, br, zstd, gzip"
    for coding in ("compress", "gzip, compress", "aws-chunked", "identity"):
        response = response_of(client.fetch(coded(origin, "/unknown", b"whatever", coding)))
        assert response.body == b"whatever" and not response.decoded
        assert header_of(response, "content-encoding") == coding.encode()


def test_bodies_that_are_none(client: Client, origin: ScriptedOrigin) -> None:
    assert response_of(client.fetch(coded(origin, "/0", b"", "gzip"))).body == b""
    call = client.stream(coded(origin, "/0c", b"", "br", chunk=1))
    assert call.read() == b"" and not call.tail.HasField("error")
    head = origin.raw("/head", b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n", "keep")
    response = response_of(client.fetch(head, method="HEAD"))
    assert header_of(response, "content-encoding") == b"gzip" and not response.decoded
    assert origin.requests[-1].header("accept-encoding") is None
    for status in (204, 304):
        data = b"HTTP/1.1 %d X\r\ncontent-encoding: br\r\n\r\n" % status
        response = response_of(client.fetch(origin.raw(f"/{status}", data, "keep")), status)
        assert header_of(response, "content-encoding") == b"br" and response.body == b""
    part = coded(origin, "/206", gzip.compress(TEXT)[10:50], "gzip", 206)
    assert response_of(client.fetch(part), 206).body == gzip.compress(TEXT)[10:50]


@pytest.mark.parametrize("name,pack", [CODINGS[0], CODINGS[2], CODINGS[3], CODINGS[4], CODINGS[5]])
def test_malformed_bodies(client: Client, origin: ScriptedOrigin, name: str, pack: Any) -> None:
    whole = pack(TEXT)
    for what, body in [
        ("cut", whole[:-1]),
        ("cut early", whole[:20]),
        ("garbage behind", whole + b"garbage"),
        ("not coded at all", b"\x07<html>plain text, whatever the head says</html>"),
    ]:
        url = coded(origin, "/x", body, name, x_kept="yes")
        error = error_of(client.fetch(url), CODING, pb.PHASE_DECODE)
        assert error.partial_response.status == 200 and error.partial_response.body == b"", what
        assert header_of(error.partial_response, "x-kept") == b"yes"
        assert list(error.partial_response.decoded) == [name]
        call = client.stream(url)
        assert TEXT.startswith(call.read()), what
        checked_error(call.tail.error, CODING, pb.PHASE_DECODE)


def test_an_incomplete_response_is_that_first(client: Client, origin: ScriptedOrigin) -> None:
    packed = gzip.compress(TEXT)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    url = origin.raw("/x", head + packed[: len(packed) // 2])
    error = error_of(client.fetch(url), pb.HTTP_RESPONSE_INCOMPLETE, pb.PHASE_RECEIVE)
    assert error.partial_response.body and TEXT.startswith(error.partial_response.body)


def test_the_limit_is_of_decoded_bytes(client: Client, origin: ScriptedOrigin) -> None:
    for name, pack in (CODINGS[0], CODINGS[4], CODINGS[5]):
        for data in (TEXT, NOISE):
            url = coded(origin, "/x", pack(data), name)
            size = len(data)
            for limit in (size, size + 1):
                assert response_of(client.fetch(url, max_bytes=limit)).body == data
            error = error_of(client.fetch(url, max_bytes=size - 1), pb.HTTP_RESPONSE_BODY_SIZE)
            assert error.partial_response.status == 200 and error.partial_response.body == b""
            for limit in (1, size - 1, size, size + 1):
                response = response_of(client.fetch(url, max_bytes=limit, truncate=True))
                assert response.body == data[:limit] and response.truncated == (limit < size), f"{name} {limit}"
                call = client.stream(url, max_bytes=limit, truncate=True)
                assert call.read() == data[:limit] and call.tail.truncated == (limit < size)
                assert not call.tail.HasField("error")


def test_a_large_stream_at_the_callers_pace(client: Client, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
    data = b"".join(b"%08x" % random.Random(i).getrandbits(32) * 20 for i in range(100_000))
    call = client.stream(coded(origin, "/x", zstd(data), "zstd", chunk=100_000))
    wanted = hashlib.sha256(data).digest()
    got, size = hashlib.sha256(), 0
    for chunk in call.chunks():
        got.update(chunk)
        size += len(chunk)
    assert size == len(data) and got.digest() == wanted
    wait_until(fetchd.idle, "nothing is in flight or leased")


def test_a_response_put_aside_for_a_retry_is_decoded_too(client: Client, origin: ScriptedOrigin) -> None:
    url = coded(origin, "/x", gzip.compress(b"later"), "gzip", 503)
    response = response_of(client.fetch(url, attempts=2), 503)
    assert response.body == b"later" and list(response.decoded) == ["gzip"]
    assert origin.count("/x") == 2


def test_a_bad_value(client: Client, origin: ScriptedOrigin) -> None:
    request = fetch_request(origin.url("/x"))
    request.body_policy.coding = 7
    with pytest.raises(grpc.RpcError) as error:
        client.fetch(request)
    assert violations(error.value) == {"body_policy.coding": "is not a known value"}


# --- bombs


def gzip_zeros(size: int) -> bytes:
    """A gzip member of so many (a multiple of 1 MiB) zeros, without packing all of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(size // MIB):
        crc = zlib.crc32(zeros, crc)
    head = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return head + block * (size // MIB) + b"\x03\0" + crc.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little")


def packed_zeros(size: int, command: str) -> bytes:
    """So many zeros, packed by a tool without passing through this process."""
    return subprocess.run(
        f"head -c {size} /dev/zero | {command}", shell=True, stdout=subprocess.PIPE, check=True
    ).stdout


@pytest.fixture(scope="module")
def bombs() -> Dict[str, Tuple[str, bytes]]:
    """Content-Encoding and body, by a name for people. All stand for 1 GiB at least."""
    plain = gzip_zeros(GIB)
    assert len(plain) < 1.2 * MIB
    inner = gzip.compress(plain, 9)
    zstd_bomb = packed_zeros(GIB, "zstd -c -q -1")
    # Frames of 128 KiB with a window of their own, as if there were nothing to see.
    frames = zstd(bytes(128 * KIB)) * 8192
    members = gzip.compress(bytes(64 * KIB)) * 16384
    blocks = gzip.compress(b"\0\0\0\xff\xff" * (200 * KIB), 9) * 1000
    return {
        "gzip": ("gzip", plain),
        "deflate": ("deflate", plain[10:-8]),
        "br": ("br", packed_zeros(GIB, "brotli -c -q 2 -w 24")),
        "br with a common window": ("br", packed_zeros(GIB, "brotli -c -q 2 -w 22")),
        "zstd": ("zstd", zstd_bomb),
        "zstd with a large window": ("zstd", packed_zeros(GIB, "zstd -c -q -1 --long=27")),
        "gzip in gzip": ("gzip, gzip", inner),
        "gzip in gzip in gzip": ("gzip, gzip, gzip", gzip.compress(inner, 9)),
        "gzip in br": ("gzip, br", br(plain)),
        "gzip in zstd": ("gzip, zstd", zstd(plain)),
        "zstd in br in gzip": ("zstd, br, gzip", gzip.compress(br(zstd_bomb))),
        "many zstd frames": ("zstd", frames),
        "many gzip members": ("gzip", members),
        "much in between, and nothing at the end": ("deflate, gzip", blocks),
        "small ones": ("gzip", gzip_zeros(2 * MIB)),
    }


def reset_peak(server: Fetchd) -> None:
    """From now on the kernel looks for the peak of the resident memory anew."""
    pathlib.Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def peak(server: Fetchd) -> int:
    """The peak in bytes."""
    status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
    assert found
    return int(found.group(1)) * KIB


def test_bombs_are_refused_and_cost_little(start_fetchd: Any, origin: ScriptedOrigin, bombs: Any) -> None:
    server: Fetchd = start_fetchd()
    client = Client(server.channel())
    warm = coded(origin, "/warm", gzip.compress(TEXT), "gzip")
    for _ in range(20):
        response_of(client.fetch(warm))
        assert client.stream(warm).read() == TEXT
    wait_until(server.idle, "the server is idle")
    for name, (coding, body) in bombs.items():
        before = server.rss()
        reset_peak(server)
        url = coded(origin, "/bomb", body, coding)
        error = error_of(client.fetch(url), LIMIT, pb.PHASE_DECODE)
        assert error.partial_response.status == 200 and error.partial_response.body == b""
        call = client.stream(url)
        sent = sum(len(chunk) for chunk in call.chunks())
        checked_error(call.tail.error, LIMIT, pb.PHASE_DECODE)
        assert sent < 2 * MIB, f"{name}: {sent} bytes were handed on"
        results = [r for m in client.batch([url, url]) for r in m.results]
        for result in results:
            error_of(result.fetch, LIMIT, pb.PHASE_DECODE)
        (end,) = client.paged(url, link_header={})
        checked_error(end.end.error, LIMIT, pb.PHASE_DECODE)
        grown = peak(server) - before
        print(f"{name}: {len(body)} bytes, {error.message}; {sent} bytes streamed; peak {grown / MIB:+.1f} MiB")
        if not SANITIZER:  # shadow memory and quarantines say nothing of ours
            assert grown < 16 * MIB, f"{name}: the resident memory grew by {grown / MIB:.1f} MiB"
        wait_until(server.idle, "nothing is in flight or leased")
    response_of(client.fetch(warm))

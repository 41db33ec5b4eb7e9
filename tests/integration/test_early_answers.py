"""Origins that answer before they have the request's body: by 100 (Continue), or with a final response."""

import threading
import time
from typing import Any, Iterator, List

import grpc
import pytest
from calls import Client, duration, fetch_request, response_of, violations
from fetchd.v1 import fetch_pb2 as pb
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import SLOWNESS, wait_until

MIB = 1024 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = 3 * MIB


def expecting(url: str, body: bytes = b"the body", wait: float = min(10, 5 * SLOWNESS), **more: Any) -> pb.FetchRequest:
    """A POST whose body waits for 100 (Continue)."""
    request = fetch_request(url, method="POST", body=body, attempts=1, **more)
    request.expect_continue.CopyFrom(duration(wait))
    return request


@pytest.fixture
def narrow() -> Iterator[ScriptedOrigin]:
    """An origin that takes little in before it is read from."""
    server = ScriptedOrigin(receive_buffer=16 * 1024)
    yield server
    server.stop()


class Asked:
    """A script that keeps what came with the head, answers, and then says what came more."""

    def __init__(self, answer: bytes, reads_body: bool = False):
        self.answer, self.reads_body = answer, reads_body
        self.expect: List[Any] = []
        self.more: List[bool] = []

    def __call__(self, connection: Connection) -> None:
        assert connection.request is not None
        self.expect.append(connection.request.header("expect"))
        # Nothing of the body comes before the answer, however long that takes.
        connection.peer_closed(0.1)
        self.more.append(bool(connection._buffer))
        connection.send(self.answer)
        if self.reads_body:
            connection.reply(connection.read_body())
        else:
            wait_until(lambda: connection.peer_closed(0.05), "fetchd closes the connection")
            self.more.append(bool(connection._buffer))


def test_the_body_goes_on_100_continue(client: Client, origin: ScriptedOrigin) -> None:
    script = Asked(CONTINUE, reads_body=True)
    url = origin.route("/x", script, read_body=False)
    assert response_of(client.fetch(expecting(url))).body == b"the body"
    assert response_of(client.fetch(expecting(url))).body == b"the body"
    assert (script.expect, script.more) == ([b"100-continue"] * 2, [False] * 2)
    # The connection is clean.
    assert origin.accepted == 1


@pytest.mark.parametrize("status", [417, 413, 401, 200])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_final_answer_means_that_no_body_is_sent(
    client: Client, origin: ScriptedOrigin, status: int, streamed: bool
) -> None:
    script = Asked(b"HTTP/1.1 %d No\r\ncontent-length: 2\r\n\r\nno" % status)
    url = origin.route("/x", script, read_body=False)
    if streamed:
        call = client.upload(expecting(url, b""), iter([b"some", b"more"]))
        assert call.read() == b"no"
        assert call.head is not None and call.head.status == status
        assert call.tail is not None and not call.tail.HasField("error")
    else:
        assert response_of(client.fetch(expecting(url)), status).body == b"no"
    wait_until(lambda: len(script.more) == 2, "the origin saw the end")
    assert (script.expect, script.more) == ([b"100-continue"], [False, False])


def test_an_origin_that_says_nothing_gets_the_body(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        connection.reply(connection.read_body())

    url = origin.route("/x", script, read_body=False)
    start = time.monotonic()
    assert response_of(client.fetch(expecting(url, wait=0.3))).body == b"the body"
    assert time.monotonic() - start >= 0.3


def test_without_a_body_nothing_is_expected(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b"ok"))
    response_of(client.fetch(expecting(url, b"")))
    assert origin.requests[0].header("expect") is None


def test_what_is_refused(client: Client, origin: ScriptedOrigin) -> None:
    for request, field in [
        (expecting(origin.url(), wait=10.001), "expect_continue"),
        (expecting(origin.url(), headers=[("expect", b"100-continue")]), "headers[0].name"),
    ]:
        with pytest.raises(grpc.RpcError) as error:
            client.fetch(request)
        assert list(violations(error.value)) == [field]


@pytest.mark.parametrize("then", ["hold", "close", "reset"])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_early_413_is_handed_on_at_once(
    client: Client, fetchd: Fetchd, narrow: ScriptedOrigin, then: str, streamed: bool
) -> None:
    """The origin reads nothing of a large body."""
    asked_to_stop = threading.Event()
    left: List[int] = []

    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        if then != "hold":
            getattr(connection, then)()
        elif streamed:
            # What the kernels hold comes first, then the end: far less than the caller would send.
            assert asked_to_stop.wait(10 * SLOWNESS)
            deadline = time.monotonic() + 10 * SLOWNESS
            while not connection.peer_closed(0.1) and time.monotonic() < deadline:
                pass
            left.append(len(connection._buffer))

    url = narrow.route("/x", script, read_body=False)
    start = time.monotonic()
    if streamed:
        call = client.upload(fetch_request(url, method="POST", attempts=1), (b"x" * 65536 for _ in range(1024)))
        assert call.read() == b"big"
        assert call.head is not None and call.head.status == 413
        assert call.tail is not None and not call.tail.HasField("error")
    else:
        request = fetch_request(url, method="POST", body=b"x" * LARGE, attempts=1)
        assert response_of(client.fetch(request), 413).body == b"big"
    # Far less than `send_idle`.
    assert time.monotonic() - start < 4 * SLOWNESS
    # A unary body is no larger than what the kernel holds for the origin, so it was sent, and the connection is good.
    if then == "hold" and streamed:
        asked_to_stop.set()
        wait_until(lambda: left, "the connection is closed")
        assert left[0] < 16 * MIB
    wait_until(fetchd.idle, "nothing is in flight or leased")

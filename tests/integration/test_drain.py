"""The end of the process: told first, no admitted call lost, lists continued elsewhere, and in time."""

import pathlib
import signal
import threading
import time
from typing import Any, Iterator, List

import grpc
import pytest
from calls import Client, response_of, status_details
from fetchd.v1 import fetch_service_pb2 as service_pb
from paged_api import PagedApi
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def health(server: Fetchd) -> bytes:
    """The reply of Health/Check as bytes, or b"" if there is none."""
    call = server.channel().unary_unary("/grpc.health.v1.Health/Check")
    try:
        return call(b"", timeout=5)
    except grpc.RpcError:
        return b""


class Load:
    """Callers that fetch again and again until they are refused."""

    def __init__(self, server: Fetchd, url: str, callers: int):
        self.good = 0
        self.refused: List[grpc.RpcError] = []
        self.wrong: List[str] = []
        self._url = url
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(Client(server.channel()),), daemon=True) for _ in range(callers)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, client: Client) -> None:
        while True:
            try:
                reply = client.fetch(self._url, attempts=1)
            except grpc.RpcError as error:
                with self._lock:
                    if error.code() == grpc.StatusCode.UNAVAILABLE:
                        self.refused.append(error)
                    else:
                        self.wrong.append(str(error))
                return
            with self._lock:
                if reply.HasField("response") and reply.response.body == b"done":
                    self.good += 1
                else:
                    self.wrong.append(str(reply))

    def join(self) -> None:
        """Waits until every caller was refused."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def slowish(origin: ScriptedOrigin) -> Iterator[str]:
    """URL of an origin that takes a moment."""

    def script(connection: Connection) -> None:
        connection.origin.stopping.wait(0.02)
        connection.reply(b"done")

    yield origin.route("/slowish", script)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_admitted_call_fails(start_fetchd: Any, origin: ScriptedOrigin, slowish: str, number: int) -> None:
    server: Fetchd = start_fetchd(drain={"pause": "1s", "deadline": "20s"})
    assert health(server) == SERVING
    load = Load(server, slowish, 24)
    wait_until(lambda: load.good > 100, "there is load")
    start = time.monotonic()
    server.signal(number)
    # Load balancers are told while calls are still taken.
    wait_until(lambda: health(server) == NOT_SERVING, "health says NOT_SERVING")
    assert server.get("/readyz")[0] == 503
    assert server.get("/livez")[0] == 200
    before = load.good
    wait_until(lambda: load.good > before + 24, "calls are still taken")
    assert server.wait() == 0
    assert 0.9 <= time.monotonic() - start < 30
    load.join()
    assert load.wrong == []
    assert len(load.refused) == 24
    # Whatever reached the origin was answered.
    assert origin.count("/slowish") == load.good


def test_calls_in_progress_are_waited_for(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server: Fetchd = start_fetchd(drain={"pause": "0s", "deadline": "20s"})
    release = threading.Event()

    def script(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"x" * 100_000)

    url = origin.route("/x", script)
    client = Client(server.channel())
    calls = [client.fetch_later(url) for _ in range(5)]
    batch = client.batch([url] * 5, max_concurrency=2)
    wait_until(lambda: origin.count("/x") == 7, "they are at the origin")
    server.signal()
    wait_until(lambda: server.get("/readyz")[0] == 503, "it drains")

    def refused() -> bool:
        try:
            Client(server.channel()).fetch(origin.url("/y"), attempts=1)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return True
        return False

    wait_until(refused, "new calls are refused")
    assert server.running()
    release.set()
    for call in calls:
        assert len(response_of(call.result()).body) == 100_000
    assert sum(len(message.results) for message in batch) == 5
    assert server.wait() == 0


def test_refusals_say_draining(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    """On a connection that was open before, while another call keeps the server from ending."""
    server: Fetchd = start_fetchd(drain={"pause": "0s", "deadline": "20s"})
    release = threading.Event()

    def script(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"ok")

    client = Client(server.channel())
    held = client.fetch_later(origin.route("/x", script))
    wait_until(lambda: origin.count("/x") == 1, "it is at the origin")
    server.signal()
    wait_until(lambda: server.get("/readyz")[0] == 503, "it drains")
    refusals: List[grpc.RpcError] = []

    def refused() -> bool:
        try:
            client.fetch(origin.url("/y"), attempts=1)
        except grpc.RpcError as error:
            refusals.append(error)
        return bool(refusals)

    wait_until(refused, "a call is refused")
    assert refusals[0].code() == grpc.StatusCode.UNAVAILABLE
    # If fetchd itself (and not the closed listener) refused it, it says why.
    if "grpc-status-details-bin" in dict(refusals[0].trailing_metadata() or ()):
        details = status_details(refusals[0])
        assert details["ErrorInfo"].reason == "DRAINING"
        assert details["RetryInfo"].retry_delay.ToMilliseconds() > 0
    release.set()
    response_of(held.result())
    assert server.wait() == 0


def test_lists_end_with_a_token_that_another_server_takes(
    start_fetchd: Any, origin: ScriptedOrigin, tmp_path: pathlib.Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"shared secret of at least 32 bytes")
    servers: List[Fetchd] = [
        start_fetchd(paging={"resume_token_key_file": str(key)}, drain={"pause": "0s", "deadline": "20s"})
        for _ in range(2)
    ]
    api = PagedApi(origin, total=10_000, size=100)
    strategy = {
        "next_url": service_pb.NextUrlStrategy(pointer="/paging/next"),
        "items": "/data/items",
        "unit": service_pb.FetchPagedRequest.UNIT_ITEM,
    }
    held = threading.Event()
    release = threading.Event()
    serve = origin._routes["/next"][0]  # pylint: disable=protected-access

    def script(connection: Connection) -> None:
        if origin.count("/next") == 10:
            held.set()
            connection.hold(release)
        serve(connection)

    url = origin.route("/next", script)
    items: List[bytes] = []
    last: Any = None
    for message in Client(servers[0].channel()).paged(url, **strategy):
        last = message
        items.extend(message.items.items)
        if len(items) == 900 and message.WhichOneof("message") == "items":
            assert held.wait(10)
            servers[0].signal()
    assert last.WhichOneof("message") == "end"
    assert last.end.reason == service_pb.PagedEnd.REASON_DRAINING
    assert last.resume_token and not last.end.HasField("error")
    assert items == api.expected()[: len(items)] and len(items) >= 900
    release.set()
    assert servers[0].wait() == 0
    for message in Client(servers[1].channel()).paged(url, resume_token=last.resume_token, **strategy):
        items.extend(message.items.items)
        last = message
    assert last.end.reason == service_pb.PagedEnd.REASON_LAST_PAGE
    assert items == api.expected()


def test_streams_are_finished(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server: Fetchd = start_fetchd(drain={"pause": "0s", "deadline": "20s"})
    release = threading.Event()

    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        connection.hold(release)
        connection.send(b"def")

    call = Client(server.channel()).stream(origin.route("/x", script))
    chunks = call.chunks()
    assert next(chunks) == b"abc"
    server.signal()
    wait_until(lambda: server.get("/readyz")[0] == 503, "it drains")
    release.set()
    assert b"".join(chunks) == b"def"
    assert call.tail is not None and not call.tail.HasField("error")
    assert server.wait() == 0


def test_the_deadline_is_kept(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server: Fetchd = start_fetchd(drain={"pause": "0s", "deadline": "1s"})
    url = origin.route("/x", lambda connection: connection.hold())
    client = Client(server.channel())
    call = client.fetch_later(url)
    stream = client.stream(url)
    wait_until(lambda: origin.count("/x") == 2, "both are at the origin")
    start = time.monotonic()
    server.signal()
    with pytest.raises(grpc.RpcError) as caught:
        call.result()
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    with pytest.raises(grpc.RpcError):
        stream.read()
    assert server.wait() == 0
    assert 0.9 <= time.monotonic() - start < 10


def test_a_second_signal_ends_it_at_once(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server: Fetchd = start_fetchd(drain={"pause": "60s", "deadline": "60s"})
    server.signal()
    wait_until(lambda: server.get("/readyz")[0] == 503, "it drains")
    server.signal()
    assert server.wait(10) == 128 + signal.SIGTERM
    server.process = None


def test_idle_server_ends_after_the_pause(start_fetchd: Any) -> None:
    server: Fetchd = start_fetchd(drain={"pause": "0s", "deadline": "25s"})
    # A connection that is open and idle, as load balancers have many.
    assert health(server) == SERVING
    start = time.monotonic()
    server.signal()
    assert server.wait(10) == 0
    assert time.monotonic() - start < 10

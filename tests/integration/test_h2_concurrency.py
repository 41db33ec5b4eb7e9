"""A thousand fetches at once over a few HTTP/2 connections, some of them cancelled, and a thousand more on the same
connections: no stream, lease or byte of window is lost."""

import concurrent.futures
import random
from typing import Any, Dict, List

import grpc
import pytest
from calls import Client, fetch_request, response_of
from fetchd.v1 import fetch_pb2 as pb
from server_process import Fetchd
from waiting import wait_until
from web_servers import BIG, FILES, PAGE, Nghttpd

COUNT = 1000
# nghttpd allows 100 streams on each.
CONNECTIONS = 12
NAMES = ["1k", "page.html", "hello.txt", "nothing"]


@pytest.fixture(scope="module")
def fetchd(start_fetchd: Any) -> Fetchd:
    """With idle connections that stay."""
    return start_fetchd(pool={"idle_timeout": "60s"})


def request(nghttpd: Nghttpd, port: str, name: str) -> pb.FetchRequest:
    """A request of a file."""
    made = fetch_request(nghttpd.url("/" + name, port), total=60, queue=60, attempt=60, first_byte=60)
    if port == "H2C":
        made.transport.http_version = pb.HTTP_VERSION_HTTP_2
    made.explain = pb.EXPLAIN_SUMMARY
    return made


def run_batch(client: Client, nghttpd: Nghttpd, port: str) -> None:
    """A thousand at once; each brings its file by HTTP/2."""
    requests = [request(nghttpd, port, NAMES[i % len(NAMES)]) for i in range(COUNT)]
    results: Dict[int, pb.FetchResponse] = {}
    for message in client.batch(requests, max_concurrency=COUNT):
        results.update({result.index: result.fetch for result in message.results})
    assert len(results) == COUNT
    for index, reply in results.items():
        assert response_of(reply).body == FILES[NAMES[index % len(NAMES)]]
        assert reply.trace.attempts[-1].http_version == pb.HTTP_VERSION_HTTP_2


@pytest.mark.parametrize("port", ["H2C", "TLS_HTTP_2"])
def test_a_thousand_and_a_thousand(fetchd: Fetchd, nghttpd: Nghttpd, port: str) -> None:
    client = Client(fetchd.channel())
    before = fetchd.metric("fetchd_connections_opened_total")
    run_batch(client, nghttpd, port)
    wait_until(fetchd.idle, "nothing is in flight or leased")
    opened = fetchd.metric("fetchd_connections_opened_total")
    assert 1 <= opened - before <= CONNECTIONS

    # A thousand calls, a tenth of them cancelled at random moments, some within the body.
    dice = random.Random(5)
    chosen = set(dice.sample(range(COUNT), COUNT // 10))
    calls: List[Any] = []
    for i in range(COUNT):
        calls.append(client.fetch_later(request(nghttpd, port, "page.html")))
        if i in chosen:
            victim = calls[-1] if dice.random() < 0.5 else client.fetch_later(request(nghttpd, port, "page.html"))
            victim.cancel()
        if i % 20 == 0:
            # One that has begun to send its body is dropped in the middle of it.
            stream = client.stream(request(nghttpd, port, "big"))
            next(stream.chunks())
            stream.call.cancel()
    done, late = concurrent.futures.wait([_as_future(call) for call in calls], timeout=60)
    assert not late
    good = 0
    for future in done:
        reply = future.result()
        if reply is not None:
            assert response_of(reply).body == PAGE
            good += 1
    assert COUNT - len(chosen) <= good <= COUNT
    wait_until(fetchd.idle, "nothing is in flight or leased")

    # All streams and windows are back: the same connections serve a thousand more, and 8 MiB on each of some.
    after = fetchd.metric("fetchd_connections_opened_total")
    assert after - before <= CONNECTIONS
    run_batch(client, nghttpd, port)
    for _ in range(20):
        assert client.stream(request(nghttpd, port, "big")).read() == BIG
    wait_until(fetchd.idle, "nothing is in flight or leased")
    assert fetchd.metric("fetchd_connections_opened_total") == after


_WAITERS = concurrent.futures.ThreadPoolExecutor(4)


def _as_future(call: Any) -> "concurrent.futures.Future[Any]":
    """The reply of a call, or None if it was cancelled."""

    def result() -> Any:
        try:
            return call.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            code = error.code() if isinstance(error, grpc.RpcError) else grpc.StatusCode.CANCELLED
            assert code == grpc.StatusCode.CANCELLED, error
            return None

    return _WAITERS.submit(result)

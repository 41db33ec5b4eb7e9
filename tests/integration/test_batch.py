"""FetchBatch: exactly one result for each index, in the order and with the consequences asked for."""

import threading
from typing import Any, Dict, List

import grpc
import pytest
from calls import Client, as_request, error_of, response_of, violations
from fetchd.v1 import fetch_service_pb2 as service_pb
from fetchd.v1 import fetch_pb2 as pb
from real_origins import Httpbin, Nginx, refusing_port
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("quiet")

Batch = service_pb.FetchBatchRequest


def results_of(call: Any) -> List[Any]:
    """All results in the order they came."""
    results = []
    for message in call:
        assert message.results
        results.extend(message.results)
    return results


def by_index(call: Any, count: int) -> Dict[int, Any]:
    """All results by index, exactly one for each."""
    results = results_of(call)
    assert sorted(result.index for result in results) == list(range(count))
    return {result.index: result for result in results}


@pytest.fixture
def numbered(origin: ScriptedOrigin) -> ScriptedOrigin:
    """Answers /n?i with i."""
    origin.route("/n", lambda connection: connection.reply(connection.request.target.encode()))  # type: ignore[union-attr]
    return origin


def test_one_result_for_each_index(client: Client, nginx: Nginx, httpbin: Httpbin) -> None:
    urls = [nginx.url("/1k"), httpbin.url("/status/500"), f"http://127.0.0.1:{refusing_port()}/", nginx.url("/missing")]
    urls.append(httpbin.url("/delay/1"))
    results = by_index(client.batch([as_request(url, attempts=1) for url in urls]), 5)
    response_of(results[0].fetch)
    response_of(results[1].fetch, 500)
    error_of(results[2].fetch, pb.CONNECTION_REFUSED)
    response_of(results[3].fetch, 404)
    response_of(results[4].fetch)


def test_one_item(client: Client, nginx: Nginx) -> None:
    (message,) = client.batch([nginx.url("/1k")])
    (result,) = message.results
    assert result.index == 0
    response_of(result.fetch)


def test_two_thousand_items(client: Client, nginx: Nginx) -> None:
    count = 2000
    messages = list(client.batch([nginx.url("/hello.txt")] * count))
    results = [result for message in messages for result in message.results]
    assert sorted(result.index for result in results) == list(range(count))
    assert all(result.fetch.response.body == b"hello\n" for result in results)
    # Results that are ready together share a message.
    assert len(messages) < count
    assert len({result.fetch.fetch_id for result in results}) == count


def test_input_order(client: Client, origin: ScriptedOrigin) -> None:
    release = threading.Event()

    def first(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"first")

    origin.route("/first", first)
    origin.route("/n", lambda connection: connection.reply(b"other"))
    requests = [origin.url("/first")] + [origin.url(f"/n?{i}") for i in range(20)]
    call = client.batch(requests, order=Batch.ORDER_INPUT)
    wait_until(lambda: origin.count("/n") == 20, "all others were fetched")
    release.set()
    assert [result.index for result in results_of(call)] == list(range(21))


def test_as_completed(client: Client, origin: ScriptedOrigin) -> None:
    release = threading.Event()

    def first(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"first")

    origin.route("/first", first)
    origin.route("/n", lambda connection: connection.reply(b"other"))
    call = client.batch([origin.url("/first")] + [origin.url(f"/n?{i}") for i in range(20)])
    seen: List[int] = []
    for message in call:
        seen.extend(result.index for result in message.results)
        if len(seen) == 20:
            assert 0 not in seen
            release.set()
    assert seen[-1] == 0 and len(seen) == 21


def test_max_concurrency(client: Client, origin: ScriptedOrigin) -> None:
    lock = threading.Lock()
    now, most = 0, 0

    def script(connection: Connection) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1
        connection.reply(b"ok")

    url = origin.route("/x", script)
    by_index(client.batch([url] * 40, max_concurrency=4), 40)
    assert 2 <= most <= 4


def test_collect_does_not_mind_errors(client: Client, numbered: ScriptedOrigin) -> None:
    bad = f"http://127.0.0.1:{refusing_port()}/"
    requests = [as_request(bad if i % 2 else numbered.url(f"/n?{i}"), attempts=1) for i in range(50)]
    results = by_index(client.batch(requests, failure_mode=Batch.FAILURE_MODE_COLLECT), 50)
    for index, result in results.items():
        if index % 2:
            error_of(result.fetch, pb.CONNECTION_REFUSED)
        else:
            assert response_of(result.fetch).body == f"/n?{index}".encode()


def test_fail_fast_skips_the_rest(client: Client, origin: ScriptedOrigin) -> None:
    """Of the rest, some are at the origin and some not begun."""
    reached = threading.Event()

    def held(connection: Connection) -> None:
        if origin.count("/held") == 3:
            reached.set()
        connection.hold()

    def failing(connection: Connection) -> None:
        assert reached.wait(10)
        connection.close()

    origin.route("/held", held)
    origin.route("/failing", failing)
    requests = [as_request(origin.url("/failing"), attempts=1)] + [as_request(origin.url("/held"), attempts=1)] * 9
    results = by_index(client.batch(requests, failure_mode=Batch.FAILURE_MODE_FAIL_FAST, max_concurrency=4), 10)
    error_of(results[0].fetch, pb.CONNECTION_TERMINATED)
    for index in range(1, 10):
        assert results[index].WhichOneof("result") == "skipped"
        assert results[index].skipped.reason
    assert origin.count("/held") == 3
    wait_until(lambda: origin.open_connections() == 0, "the aborted exchanges are gone")


def test_fail_fast_in_input_order(client: Client, origin: ScriptedOrigin) -> None:
    origin.raw("/failing", b"")
    origin.route("/ok", lambda connection: connection.reply(b"ok"))
    requests = [as_request(origin.url(path), attempts=1) for path in ["/ok", "/failing"] + ["/ok"] * 8]
    call = client.batch(
        requests, failure_mode=Batch.FAILURE_MODE_FAIL_FAST, order=Batch.ORDER_INPUT, max_concurrency=1
    )
    results = results_of(call)
    assert [result.index for result in results] == list(range(10))
    assert [result.WhichOneof("result") for result in results] == ["fetch", "fetch"] + ["skipped"] * 8


def test_a_response_of_any_status_fails_nothing(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b"", 500))
    results = by_index(client.batch([url] * 10, failure_mode=Batch.FAILURE_MODE_FAIL_FAST), 10)
    assert all(result.fetch.response.status == 500 for result in results.values())


def test_malformed_and_forbidden_items_fail_alone(client: Client, numbered: ScriptedOrigin) -> None:
    requests = [
        as_request(numbered.url("/n?0")),
        as_request("not a url"),
        as_request("http://10.0.0.1/"),
        as_request("ftp://127.0.0.1/"),
        as_request(numbered.url("/n?4"), headers=[("bad name", b"x")]),
        as_request(numbered.url("/n?5"), method="CONNECT"),
        as_request(numbered.url("/n?6")),
    ]
    results = by_index(client.batch(requests), 7)
    for index in (0, 6):
        assert response_of(results[index].fetch).body == f"/n?{index}".encode()
    for index, code, word in [
        (1, pb.REQUEST_INVALID, "url"),
        (2, pb.HTTP_REQUEST_DENIED, ""),
        (3, pb.HTTP_REQUEST_DENIED, ""),
        (4, pb.REQUEST_INVALID, "headers"),
        (5, pb.REQUEST_INVALID, "method"),
    ]:
        error = error_of(results[index].fetch, code, pb.PHASE_POLICY)
        assert error.processed == pb.PROCESSED_NO
        assert not error.retryable
        assert word in error.message
    assert numbered.count("/n") == 2


def test_empty_batch_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(client.batch([]))
    assert list(violations(caught.value)) == ["requests"]


def test_too_many_items_are_refused(client: Client, start_fetchd: Any, numbered: ScriptedOrigin) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(client.batch([pb.FetchRequest(url="http://h/")] * 10_001))
    assert list(violations(caught.value)) == ["requests"]
    small: Fetchd = start_fetchd(limits={"max_batch_items": 3})
    with pytest.raises(grpc.RpcError) as caught:
        list(Client(small.channel()).batch([numbered.url("/n")] * 4))
    assert list(violations(caught.value)) == ["requests"]
    by_index(Client(small.channel()).batch([numbered.url("/n")] * 3), 3)


def test_big_bodies_stay_below_the_message_limit(client: Client, nginx: Nginx) -> None:
    """gRPC's default limit of 4 MiB for a message holds for what shares one, too."""
    size = 1536 * 1024
    results = by_index(client.batch([nginx.sparse("1536k", size)] * 24), 24)
    assert all(len(result.fetch.response.body) == size for result in results.values())


def test_a_caller_that_does_not_read_stops_the_batch(client: Client, fetchd: Fetchd, nginx: Nginx) -> None:
    size = 1024 * 1024
    url = nginx.sparse("1m", size)
    before = fetchd.metric("fetchd_fetches_total", outcome="2xx")
    call = client.batch([url] * 500, max_concurrency=8)
    next(iter(call))

    def settled() -> bool:
        return fetchd.in_flight() == 0 and fetchd.metric("fetchd_fetches_total", outcome="2xx") > before

    wait_until(settled, "nothing more is begun")
    done = fetchd.metric("fetchd_fetches_total", outcome="2xx") - before
    assert done < 100, f"{done} fetches of 1 MiB for a caller that took one message"
    call.cancel()


def test_cancel_aborts_everything(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.hold())
    call = client.batch([url] * 50, max_concurrency=20)
    wait_until(lambda: origin.count("/x") == 20, "20 are at the origin")
    call.cancel()
    wait_until(lambda: origin.open_connections() == 0, "their connections are closed")
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() == grpc.StatusCode.CANCELLED

"""The door: who is refused when fetchd has enough to do, and what they are told."""

import threading
from typing import Any, List

import grpc
import pytest
from calls import Client, as_request, response_of, status_details
from fetchd.v1 import fetch_pb2 as pb
from scripted_origin import Connection, ScriptedOrigin
from waiting import wait_until


class Held:
    """Fetches that wait for an origin which does not answer before `release`."""

    def __init__(self, origin: ScriptedOrigin):
        self.released = threading.Event()
        self.calls: List[grpc.Future] = []

        def script(connection: Connection) -> None:
            connection.hold(self.released)
            connection.reply(b"done")

        self.url = origin.route("/held", script)

    def start(self, client: Client, priority: int = 0) -> grpc.Future:
        """One more."""
        request = as_request(self.url, attempts=1)
        request.priority = priority  # type: ignore[assignment]
        call = client.fetch_later(request)
        self.calls.append(call)
        return call

    def release(self) -> None:
        """The origin answers; all that were admitted succeed."""
        self.released.set()
        for call in self.calls:
            response_of(call.result())


def refusal(client: Client, url: str, priority: int = 0) -> grpc.RpcError:
    """The error of a fetch that is refused."""
    request = as_request(url, attempts=1)
    request.priority = priority  # type: ignore[assignment]
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(request)
    return caught.value


def test_a_caller_has_a_quota_of_its_own(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server = start_fetchd(limits={"max_in_flight_per_caller": 2})
    greedy, modest = Client(server.channel(), "greedy"), Client(server.channel(), "modest")
    held = Held(origin)
    try:
        for _ in range(2):
            held.start(greedy)
        wait_until(lambda: server.in_flight() == 2, "they are in flight")
        error = refusal(greedy, held.url)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        details = status_details(error)
        assert details["ErrorInfo"].reason == "QUOTA_EXCEEDED"
        assert [violation.subject for violation in details["QuotaFailure"].violations] == ["greedy"]
        assert 0.1 <= details["RetryInfo"].retry_delay.ToNanoseconds() / 1e9 <= 5
        held.start(modest)
        wait_until(lambda: server.in_flight() == 3, "another caller goes on")
    finally:
        held.release()
    wait_until(server.idle, "nothing is in flight")
    assert server.metric("fetchd_shed_total", budget="caller") == 1
    response_of(greedy.fetch(origin.route("/now", lambda connection: connection.reply(b"ok"))))


def test_bulk_is_shed_before_interactive(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server = start_fetchd(limits={"max_in_flight": 20, "batch_concurrency": 1})
    client = Client(server.channel())
    held = Held(origin)
    try:
        for _ in range(16):
            held.start(client)
        wait_until(lambda: server.in_flight() == 16, "four fifths are in flight")
        error = refusal(client, held.url, pb.PRIORITY_BULK)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert status_details(error)["RetryInfo"].retry_delay.ToNanoseconds() > 0
        for _ in range(3):
            held.start(client)
        wait_until(lambda: server.in_flight() == 19, "19 are in flight")
        assert refusal(client, held.url).code() == grpc.StatusCode.UNAVAILABLE
        held.start(client, pb.PRIORITY_INTERACTIVE)
        wait_until(lambda: server.in_flight() == 20, "one who waits for the answer is let in")
        assert refusal(client, held.url, pb.PRIORITY_INTERACTIVE).code() == grpc.StatusCode.UNAVAILABLE
    finally:
        held.release()
    wait_until(server.idle, "nothing is in flight")
    for priority in ("interactive", "normal", "bulk"):
        assert server.metric("fetchd_shed_total", budget="in_flight", priority=priority) == 1


def test_new_fetches_are_refused_while_bodies_fill_the_memory(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    server = start_fetchd(limits={"max_body_bytes": "1MiB"})
    client = Client(server.channel())
    released = threading.Event()
    size = 1024 * 1024

    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * (size - 1))
        connection.hold(released)
        connection.send(b"x")

    call = client.fetch_later(origin.route("/large", script), attempts=1)
    small = origin.route("/small", lambda connection: connection.reply(b"ok"))
    try:
        wait_until(lambda: server.metric("fetchd_held_body_bytes") >= size, "the body is in memory")
        error = refusal(client, small)
        assert error.code() == grpc.StatusCode.UNAVAILABLE and "bytes of bodies" in (error.details() or "")
    finally:
        released.set()
    assert len(response_of(call.result()).body) == size, "what is in progress is not ended"
    wait_until(lambda: server.metric("fetchd_held_body_bytes") == 0, "nothing is held")
    response_of(client.fetch(small))

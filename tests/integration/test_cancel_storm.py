"""10,000 fetches, cancelled at random moments, at an origin that is killed and started again in between."""

import collections
import os
import random
import threading
import time
from typing import Any, Counter, Dict, List

import grpc
import pytest
from calls import Client, as_request
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from real_origins import StormOrigin
from server_process import Fetchd
from waiting import SANITIZER, wait_until

FETCHES = 1_500 if SANITIZER else 10_000
CONCURRENCY = 256
KILLS = 4
# Given by whoever wants a storm again.
SEED = int(os.environ.get("FETCHD_STORM_SEED", "20240607"))

PATHS = ["/fast"] * 6 + ["/slow"] * 3 + ["/drip"] * 2 + ["/never"]


@pytest.fixture
def storm() -> Any:
    """An origin to be killed."""
    origin = StormOrigin().start()
    yield origin
    origin.kill()


class Storm:
    """Starts calls, cancels some of them, and counts how each ended."""

    def __init__(self, clients: List[Client], origin: StormOrigin):
        self.clients, self.origin = clients, origin
        self.random = random.Random(SEED)
        self.ends: Counter[str] = collections.Counter()
        self.answers: Dict[int, int] = collections.Counter()
        self.lock = threading.Lock()
        self.slots = threading.Semaphore(CONCURRENCY)
        self.cancels: "List[tuple[float, Any]]" = []
        self.done = threading.Event()

    def run(self) -> None:
        """Makes all calls; returns when each has ended."""
        canceller = threading.Thread(target=self._cancel_when_due)
        canceller.start()
        kills = {FETCHES * (i + 1) // (KILLS + 1) for i in range(KILLS)}
        restarts = {kill + CONCURRENCY // 2 for kill in kills}
        for number in range(FETCHES):
            if number in kills:
                self.origin.kill()
            if number in restarts:
                self.origin.start()
            self.slots.acquire()
            self._start(number)
        for _ in range(CONCURRENCY):
            assert self.slots.acquire(timeout=120), f"calls without an end: {FETCHES - sum(self.answers.values())}"
        self.done.set()
        canceller.join()

    def _start(self, number: int) -> None:
        client = self.clients[number % len(self.clients)]
        request = as_request(
            self.origin.url(self.random.choice(PATHS)), attempts=self.random.choice([1, 3]), total=2, connect=1
        )
        kind = self.random.choice(["fetch", "fetch", "fetch", "stream", "upload"])
        if kind == "fetch":
            call = client.stub.Fetch.future(request, timeout=30, metadata=client.metadata)
            call.add_done_callback(lambda done: self._ended(number, done))
        else:
            # A streaming call is read by a thread of its own.
            call = self._open_stream(client, request, kind == "upload")
            threading.Thread(target=self._read_stream, args=(number, call), daemon=True).start()
        if self.random.random() < 0.4:
            with self.lock:
                self.cancels.append((time.monotonic() + self.random.expovariate(1 / 0.02), call))

    def _open_stream(self, client: Client, request: pb.FetchRequest, upload: bool) -> Any:
        start = service_pb.FetchStreamStart(request=request, streams_body=upload)
        messages = [service_pb.FetchStreamRequest(start=start)]
        if upload:
            request.method = "POST"
            start.request.method = "POST"
            messages += [service_pb.FetchStreamRequest(chunk=b"x" * 5000)] * 3
        return client.stub.FetchStream(iter(messages), timeout=30, metadata=client.metadata)

    def _read_stream(self, number: int, call: Any) -> None:
        tail = None
        try:
            for message in call:
                assert tail is None
                if message.WhichOneof("message") == "tail":
                    tail = message.tail
        except grpc.RpcError as error:
            self._count(number, error.code().name)
            return
        if tail is None:
            self._count(number, "NO_TAIL")
        else:
            self._count(number, pb.ErrorCode.Name(tail.error.code) if tail.HasField("error") else "response")

    def _ended(self, number: int, call: Any) -> None:
        try:
            reply = call.result(timeout=0)
        except (grpc.RpcError, grpc.FutureCancelledError):
            self._count(number, "CANCELLED" if call.cancelled() else call.code().name)
            return
        kind = reply.WhichOneof("outcome")
        self._count(number, "response" if kind == "response" else pb.ErrorCode.Name(reply.error.code))

    def _count(self, number: int, end: str) -> None:
        with self.lock:
            self.ends[end] += 1
            self.answers[number] += 1
        self.slots.release()

    def _cancel_when_due(self) -> None:
        while not self.done.wait(0.001):
            now = time.monotonic()
            with self.lock:
                due = [call for at, call in self.cancels if at <= now]
                self.cancels = [entry for entry in self.cancels if entry[0] > now]
            for call in due:
                call.cancel()


def test_storm(start_fetchd: Any, storm: StormOrigin) -> None:
    server: Fetchd = start_fetchd(log={"access": "none"}, pool={"max_connections_per_origin": 512, "idle_timeout": "1s"},
                                   # It would keep the storm from an origin that was killed.
                                   breaker={"enabled": False})
    channels = [server.channel() for _ in range(4)]
    clients = [Client(channel) for channel in channels]
    for client in clients:
        assert client.fetch(storm.url("/fast")).HasField("response")
    wait_until(server.idle, "the server is idle")
    print(f"seed {SEED} (FETCHD_STORM_SEED), {FETCHES} fetches, {CONCURRENCY} at once, origin killed {KILLS} times")
    storm.kill()
    wait_until(lambda: server.metric("fetchd_connections") == 0, "no connection to the dead origin is kept")
    fds = server.fds()
    storm.start()

    weather = Storm(clients, storm)
    start = time.monotonic()
    weather.run()
    print(f"{time.monotonic() - start:.1f} s: {dict(weather.ends.most_common())}")

    # Every fetch was answered exactly once.
    assert len(weather.answers) == FETCHES
    assert set(weather.answers.values()) == {1}
    # Nothing ended as it should not.
    allowed = {"response", "CANCELLED", "CONNECTION_REFUSED", "CONNECTION_TERMINATED", "HTTP_RESPONSE_INCOMPLETE"}
    allowed |= {"TOTAL_TIMEOUT", "CONNECTION_TIMEOUT", "CONNECTION_WRITE_TIMEOUT", "DESTINATION_UNAVAILABLE"}
    assert set(weather.ends) <= allowed
    assert weather.ends["response"] > FETCHES * 0.2
    assert weather.ends["CANCELLED"] > FETCHES * 0.02

    wait_until(lambda: server.in_flight() == 0, "nothing is in flight")
    wait_until(lambda: server.leases() == 0, "nothing is leased")
    assert server.metric("fetchd_queue_waiting") == 0
    assert server.metric("fetchd_connections", state="active") == 0
    # It still works.
    assert clients[0].fetch(storm.url("/fast")).HasField("response")
    storm.kill()
    wait_until(lambda: server.metric("fetchd_connections") == 0, "no connection to the dead origin is kept")
    wait_until(lambda: server.metric("fetchd_buffered_bytes") == 0, "no buffer is left")
    wait_until(lambda: server.fds() <= fds, f"file descriptors are back from {server.fds()} to {fds}")

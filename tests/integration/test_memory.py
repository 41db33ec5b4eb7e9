"""Memory of the server while callers read slowly what origins would send fast."""

import threading
import time
from typing import Any, List

import pytest
from calls import Client, StreamCall
from real_origins import Nginx
from server_process import Fetchd
from waiting import SANITIZER, wait_until

MIB = 1024 * 1024
GIB = 1024 * MIB


class SlowReader:
    """Reads a stream at so many bytes per second."""

    def __init__(self, call: StreamCall, rate: int):
        self.call, self.rate = call, rate
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        start = time.monotonic()
        for chunk in self.call.chunks():
            self.bytes += len(chunk)
            if self._stop.wait(max(0.0, start + self.bytes / self.rate - time.monotonic())):
                break
        self.call.call.cancel()

    def stop(self) -> None:
        """Cancels the stream."""
        self._stop.set()
        self._thread.join()


def highest_rss(server: Fetchd, seconds: float) -> int:
    """The highest resident memory within a time. The time is the subject here: it is how long the callers read."""
    highest, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        highest = max(highest, server.rss())
        threading.Event().wait(0.05)
    return highest


@pytest.mark.parametrize("streams,limit", [(1, 8 * MIB), (8 if SANITIZER else 64, 128 * MIB)])
def test_slow_callers_cost_little(start_fetchd: Any, nginx: Nginx, streams: int, limit: int) -> None:
    url = nginx.sparse("gib", GIB)
    server: Fetchd = start_fetchd(timeouts={"default": {"between_bytes": "60s"}})
    # What a process needs once is not the streams' fault.
    warm = Client(server.channel())
    for _ in range(5):
        assert warm.fetch(nginx.url("/1k")).HasField("response")
    assert len(warm.stream(nginx.url("/1k")).read()) == 1024
    wait_until(server.idle, "the server is idle")
    before = server.rss()

    # One channel for each eight: an HTTP/2 connection has a window of its own for all its streams.
    clients = [Client(server.channel()) for _ in range(-(-streams // 8))]
    readers: List[SlowReader] = [
        SlowReader(clients[i % len(clients)].stream(url, deadline=None), MIB) for i in range(streams)
    ]
    try:
        grown = highest_rss(server, 10) - before
        print(f"{streams} streams of 1 GiB, 1 MiB/s each for 10 s: RSS grew by {grown / MIB:.1f} MiB")
        read = [reader.bytes for reader in readers]
        assert all(MIB <= count <= 24 * MIB for count in read), f"bytes read: {sorted(read)}"
        if not SANITIZER:  # shadow memory and quarantines say nothing of ours
            assert grown < limit
    finally:
        for reader in readers:
            reader.stop()
    wait_until(server.idle, "nothing is in flight or leased")
    wait_until(lambda: server.metric("fetchd_buffered_bytes") == 0, "gRPC has given the last chunks back")


def test_a_whole_gibibyte_passes_through(start_fetchd: Any, nginx: Nginx) -> None:
    size = 64 * MIB if SANITIZER else GIB
    server: Fetchd = start_fetchd()
    client = Client(server.channel())
    assert client.fetch(nginx.url("/1k")).HasField("response")
    before = server.rss()
    highest, total = 0, 0
    start = time.monotonic()
    call = client.stream(nginx.sparse("whole", size), total=300)
    for number, chunk in enumerate(call.chunks()):
        total += len(chunk)
        if number % 64 == 0:
            highest = max(highest, server.rss())
    took = time.monotonic() - start
    assert call.tail is not None and not call.tail.HasField("error")
    assert total == call.tail.body_bytes == size
    print(f"{size / MIB:.0f} MiB in {took:.1f} s, RSS grew by {(highest - before) / MIB:.1f} MiB")
    if not SANITIZER:
        assert highest - before < 32 * MIB

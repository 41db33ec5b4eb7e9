"""A hostile HTTP/2 peer: each case ends as it should, within its deadline, and spoils nothing for the next fetch."""

import concurrent.futures
import dataclasses
import ssl
import threading
import time
from typing import Any, Dict, Iterator

import pytest
from calls import Client, checked_error, error_of, fetch_request
from fetchd.v1 import fetch_pb2 as pb
from h2_peer import DATA, REFUSED_STREAM, Connection, H2Peer, frame
from hostile_h2 import CASES, Case
from real_origins import Certificates
from server_process import Fetchd
from waiting import SANITIZER, SLOWNESS, wait_until

MIB = 1024 * 1024
# No case has a longer way than the silence after which a connection is asked by PING, and given up.
DEADLINE = 25


@dataclasses.dataclass
class Result:
    """What came of a case."""

    reply: pb.FetchResponse
    took: float
    clean: pb.FetchResponse
    played: int
    accepted: int


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """TLS that chooses HTTP/2 if it is offered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


class Run:
    """All cases, some at once, each with a peer of its own."""

    def __init__(self, fetchd: Fetchd, certificates: Certificates):
        self.client = Client(fetchd.channel())
        self.context = server_context(certificates)
        self.fetchd = fetchd
        self.results: Dict[str, Result] = {}
        # Sessions, buffers and code are there before anything is measured.
        warm = [Case(f"warm_{i}", b"good") for i in range(16)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.play, warm))
        wait_until(fetchd.idle, "nothing is in flight or leased")
        self.rss_before, self.fds_before = fetchd.rss(), fetchd.fds()
        slowest_first = sorted(CASES, key=lambda case: case.name != "ping_unanswered")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.results = dict(zip((case.name for case in slowest_first), pool.map(self.play, slowest_first)))
        wait_until(fetchd.idle, "nothing is in flight or leased")
        self.rss_after = fetchd.rss()

    def request(self, case: Case, peer: H2Peer, **fetch: Any) -> pb.FetchRequest:
        """A request to the peer."""
        request = fetch_request(peer.url(), **{"attempts": 1, "total": DEADLINE * SLOWNESS, **fetch})
        if not case.tls:
            request.transport.http_version = pb.HTTP_VERSION_HTTP_2
        request.explain = pb.EXPLAIN_FULL
        return request

    def play(self, case: Case) -> Result:
        """One case, and the fetch after it."""
        peer = H2Peer(self.context if case.tls else None)
        peer.script, peer.on_connect, peer.times = case.script, case.on_connect, case.times
        peer.first_settings, peer.polite = list(case.settings), not case.rude
        try:
            began = time.monotonic()
            reply = self.client.fetch(self.request(case, peer, **case.fetch))
            took = time.monotonic() - began
            peer.armed, peer.polite, peer.first_settings = False, True, []
            clean = self.client.fetch(self.request(case, peer))
            return Result(reply, took, clean, peer.played, peer.accepted)
        finally:
            peer.stop()


@pytest.fixture(scope="module")
def run(start_fetchd: Any, certificates: Certificates) -> Iterator[Run]:
    """Plays all cases once. Without a breaker, which would soon leave such origins alone; and an idle connection of
    HTTP/1.1 learns that its origin has closed when its time is over."""
    yield Run(start_fetchd(breaker={"enabled": False}, pool={"idle_timeout": "3s"}), certificates)


def outcome(reply: pb.FetchResponse) -> Any:
    """An error's code, or a response's body."""
    return reply.error.code if reply.WhichOneof("outcome") == "error" else reply.response.body


def shown(verdict: Any) -> str:
    """For people."""
    return pb.ErrorCode.Name(verdict) if isinstance(verdict, int) else repr(verdict)


def test_there_are_many_cases_and_their_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdict(run: Run, case: Case) -> None:
    result = run.results[case.name]
    got = outcome(result.reply)
    wanted = {shown(verdict) for verdict in (case.verdict, case.or_else) if verdict is not None}
    assert shown(got) in wanted, f"{result.reply.error.message} {result.reply.trace}"
    if not isinstance(case.verdict, bytes):
        error = result.reply.error
        assert error.message and error.phase and error.processed
    assert result.took < DEADLINE * SLOWNESS
    assert result.played > 0 or case.settings or case.script is None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_next_fetch_is_clean(run: Run, case: Case) -> None:
    result = run.results[case.name]
    assert shown(outcome(result.clean)) == "b'good'", f"{result.clean.error.message} {result.clean.trace}"
    assert result.clean.response.status == 200


@pytest.mark.parametrize("case", [case for case in CASES if case.stays], ids=str)
def test_what_is_no_offence_keeps_the_connection(run: Run, case: Case) -> None:
    assert run.results[case.name].accepted == 1


def test_nothing_is_left(run: Run) -> None:
    grown = run.rss_after - run.rss_before
    # A sanitizer's own memory is not ours.
    assert SANITIZER or grown < 16 * MIB, f"RSS grew by {grown / MIB:.1f} MiB"
    wait_until(lambda: run.fetchd.fds() <= run.fds_before, "all connections are closed")
    assert run.fetchd.metric("fetchd_connections", state="active") == 0


def test_refused_streams_are_tried_once_more(run: Run) -> None:
    for name in ("refused_once", "refused_once_a_post", "refused_always", "goaway_below_always"):
        assert run.results[name].played == (2 if name.endswith("always") else 1), name


def test_a_refused_upload_is_not_sent_again_in_part(run: Run) -> None:
    def refuse_within_the_upload(c: Connection, s: int) -> None:
        c.read_until(DATA)
        c.reset(s, REFUSED_STREAM)

    peer = H2Peer()
    peer.script, peer.times = refuse_within_the_upload, 1
    try:
        request = fetch_request(peer.url(), "PUT", total=10)
        request.transport.http_version = pb.HTTP_VERSION_HTTP_2
        call = run.client.upload(request, iter([b"a" * 1000, b"b" * 1000]))
        call.read()
        assert call.tail is not None
        assert (call.tail.error.code, call.tail.error.processed) == (pb.HTTP2_STREAM_REFUSED, pb.PROCESSED_NO)
        assert (peer.played, peer.requests) == (1, 0)
    finally:
        peer.stop()


def test_data_over_the_window(run: Run) -> None:
    """Windows open again as data is taken: only a stream whose caller takes nothing, beside one for which the connection
    is read on, can certainly be sent too much."""
    over = threading.Event()

    def script(c: Connection, s: int) -> None:
        if peer.played == 1:
            return
        try:
            c.headers(s)
            for _ in range(64):
                c.send(frame(DATA, 0, s, bytes(16384)) * 64)
        finally:
            over.set()

    peer = H2Peer()
    peer.script, peer.times = script, 2
    try:
        request = fetch_request(peer.url(), attempts=1, total=DEADLINE * SLOWNESS)
        request.transport.http_version = pb.HTTP_VERSION_HTTP_2
        beside = run.client.fetch_later(request)
        wait_until(lambda: peer.played == 1, "the first request has come")
        call = run.client.stream(request)
        assert over.wait(DEADLINE * SLOWNESS)
        body = call.read()
        assert call.tail is not None
        checked_error(call.tail.error, pb.HTTP2_PROTOCOL_ERROR, pb.PHASE_RECEIVE)
        assert 0 < len(body) < 64 * MIB
        # After it had been told, the origin went on.
        error_of(beside.result(), pb.HTTP2_FLOOD)
        assert run.client.fetch(request).response.body == b"good"
        assert peer.accepted == 2
    finally:
        peer.stop()


def test_http1_is_remembered(run: Run) -> None:
    result = run.results["wants_http1_by_tls"]
    # Asked by HTTP/2 once; the next fetch did not try again.
    assert result.played == 1
    assert [attempt.http_version for attempt in result.clean.trace.attempts] == [pb.HTTP_VERSION_HTTP_1_1]

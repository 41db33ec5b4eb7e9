"""What callers and operators see of origins: OriginService tells the same story as the traces of the fetches."""

import re
import subprocess
import threading
import time
from typing import Any, Iterator, List

import grpc
import pytest
from calls import Client, as_request, duration, error_of, response_of
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import origin_service_pb2 as origin_pb
from fetchd.v1 import origin_service_pb2_grpc as origin_service
from real_origins import refusing_port
from scripted_origin import Connection, ScriptedOrigin
from server_process import FETCHCTL, Fetchd
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.usefixtures("quiet")

CLOSED = origin_pb.OriginBreaker.STATE_CLOSED
OPEN = origin_pb.OriginBreaker.STATE_OPEN
HALF_OPEN = origin_pb.OriginBreaker.STATE_HALF_OPEN
METADATA = (("fetchd-caller", "itest"),)
# How long a breaker stays open: long enough to be looked at.
OPEN_TIME = 1.0 * SLOWNESS


@pytest.fixture(scope="module")
def fetchd(start_fetchd: Any) -> Fetchd:
    """With operators' listener, and a breaker that opens after three failures."""
    return start_fetchd(
        admin={"listen": "127.0.0.1:0"},
        breaker={"consecutive_failures": 3, "open_time": f"{OPEN_TIME}s", "max_open_time": f"{OPEN_TIME}s", "trials": 2},
        origins=[{"hosts": ["slow.test"], "rate_limit": {"per_second": 0.1, "burst": 1}}],
    )


@pytest.fixture(scope="module")
def client(fetchd: Fetchd) -> Client:
    """Calls the server of this file."""
    return Client(fetchd.channel())


@pytest.fixture(scope="module")
def origins(fetchd: Fetchd) -> origin_service.OriginServiceStub:
    """OriginService."""
    return origin_service.OriginServiceStub(fetchd.channel())


@pytest.fixture(scope="module")
def admin_address(fetchd: Fetchd) -> str:
    """Where AdminService is."""
    found = re.search(r"^admin=(\d+)$", (fetchd.directory / "ports").read_text(), re.M)
    assert found is not None
    return f"127.0.0.1:{found.group(1)}"


@pytest.fixture(scope="module")
def admin(admin_address: str) -> Iterator[origin_service.AdminServiceStub]:
    """AdminService."""
    with grpc.insecure_channel(admin_address) as channel:
        yield origin_service.AdminServiceStub(channel)


def explained(url: str, **more: Any) -> pb.FetchRequest:
    """A request whose reply has a full trace."""
    request = as_request(url, **more)
    request.explain = pb.EXPLAIN_FULL
    return request


def name_of(url: str) -> str:
    """The name of the URL's origin."""
    return "/".join(url.split("/")[:3])


def get(origins: origin_service.OriginServiceStub, url: str) -> origin_pb.Origin:
    """The origin of a URL."""
    request = origin_pb.GetOriginRequest(name=name_of(url))
    return origins.GetOrigin(request, timeout=10, metadata=METADATA).origin


def check(origins: origin_service.OriginServiceStub, url: str) -> origin_pb.CheckUrlResponse:
    """What would become of a fetch."""
    return origins.CheckUrl(origin_pb.CheckUrlRequest(url=url), timeout=10, metadata=METADATA)


def decisions(reply: pb.FetchResponse) -> List[str]:
    """The rule and the verdict of each decision but the first, which says what holds."""
    first, *others = reply.trace.decisions
    assert (first.rule, first.verdict, first.attempt) == ("policy", "applied", 0)
    return [f"{decision.rule} {decision.verdict}" for decision in others]


def test_a_trace_tells_the_attempt(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/", lambda connection: connection.reply(b"hello"))
    first, second = (client.fetch(explained(url)) for _ in range(2))
    assert response_of(first).body == b"hello"
    (attempt,) = first.trace.attempts
    assert (attempt.number, attempt.status, attempt.reused_connection) == (1, 200, False)
    assert attempt.address == name_of(url).split("//")[1]
    assert attempt.phases.HasField("connect") and attempt.phases.HasField("wait")
    assert attempt.took.ToNanoseconds() >= attempt.phases.wait.ToNanoseconds() > 0
    (attempt,) = second.trace.attempts
    assert attempt.reused_connection and not attempt.phases.HasField("connect")
    assert not client.fetch(url).HasField("trace")


def test_a_trace_tells_why_there_was_another_attempt(client: Client, origin: ScriptedOrigin) -> None:
    answers = iter([503, 200])
    url = origin.route("/", lambda connection: connection.reply(b"", status=next(answers)))
    reply = client.fetch(explained(url))
    response_of(reply)
    assert [attempt.status for attempt in reply.trace.attempts] == [503, 200]
    assert "retry retry" in decisions(reply)
    wait = reply.trace.attempts[1].began.ToNanoseconds() - reply.trace.attempts[0].took.ToNanoseconds()
    assert wait >= 0


def test_a_breaker_opens_in_the_list_as_in_the_traces(
    client: Client, origins: origin_service.OriginServiceStub
) -> None:
    port = refusing_port()
    url = f"http://127.0.0.1:{port}/"
    story = []
    for _ in range(3):
        reply = client.fetch(explained(url, attempts=1))
        error_of(reply, pb.CONNECTION_REFUSED)
        story += decisions(reply)
    assert "breaker opened" in story
    known = get(origins, url)
    assert known.breaker.state == OPEN and known.breaker.HasField("retry_at")
    assert known.breaker.consecutive_failures == 3 and not known.breaker.forced

    before = time.monotonic()
    reply = client.fetch(explained(url))
    took = time.monotonic() - before
    error = error_of(reply, pb.CIRCUIT_OPEN)
    assert error.processed == pb.PROCESSED_NO
    assert decisions(reply)[0] == "breaker refused" and took < OPEN_TIME
    assert abs(error.retry_at.ToNanoseconds() - known.breaker.retry_at.ToNanoseconds()) < 50e6
    dry = check(origins, url)
    assert (dry.allowed, dry.verdict, dry.limit) == (True, origin_pb.CheckUrlResponse.VERDICT_REFUSED, "breaker")
    listed = origins.ListOrigins(origin_pb.ListOriginsRequest(host_contains="127.0.0.1"), timeout=10).origins
    assert [o.breaker.state for o in listed if o.name == name_of(url)] == [OPEN]
    wait_until(lambda: get(origins, url).breaker.state == HALF_OPEN, "the breaker half-opens")


def test_an_origin_that_comes_back_is_tried_and_then_trusted(
    client: Client, origins: origin_service.OriginServiceStub, origin: ScriptedOrigin
) -> None:
    ill = threading.Event()
    ill.set()
    url = origin.route("/", lambda connection: connection.reply(b"", status=500 if ill.is_set() else 200))
    for _ in range(3):
        response_of(client.fetch(url, attempts=1), 500)
    assert get(origins, url).breaker.state == OPEN
    ill.clear()
    wait_until(lambda: get(origins, url).breaker.state == HALF_OPEN, "the breaker half-opens")
    reply = client.fetch(explained(url))
    response_of(reply)
    assert "breaker trial" in decisions(reply)
    assert get(origins, url).breaker.state == HALF_OPEN
    response_of(client.fetch(url))
    assert get(origins, url).breaker.state == CLOSED


def test_what_one_caller_was_told_everybody_keeps(
    client: Client, origins: origin_service.OriginServiceStub, origin: ScriptedOrigin
) -> None:
    url = origin.route("/", lambda connection: connection.reply(b"", status=429, headers=(("retry-after", "30"),)))
    before = time.time()
    reply = client.fetch(explained(url))
    response_of(reply, 429)
    assert "hold learnt" in decisions(reply)
    known = get(origins, url)
    assert before + 29 <= known.hold_until.ToSeconds() <= time.time() + 31
    reply = client.fetch(explained(url))
    error = error_of(reply, pb.RATE_LIMITED)
    assert abs(error.retry_at.ToSeconds() - known.hold_until.ToSeconds()) <= 2
    assert "hold refused" in decisions(reply)
    dry = check(origins, url)
    assert (dry.verdict, dry.limit) == (origin_pb.CheckUrlResponse.VERDICT_REFUSED, "hold")
    assert origin.count("/") == 1


def test_a_watcher_sees_a_breaker_open(
    client: Client, origins: origin_service.OriginServiceStub
) -> None:
    port = refusing_port()
    url = f"http://127.0.0.1:{port}/"
    name = name_of(url)
    call = origins.WatchOrigins(
        origin_pb.WatchOriginsRequest(min_interval=duration(0.1)), timeout=30 * SLOWNESS, metadata=METADATA
    )
    for message in call:
        if message.snapshot_complete:
            break
    seen: List[int] = []

    def watch() -> None:
        try:
            for message in call:
                seen.extend(o.breaker.state for o in message.origins if o.name == name)
        except grpc.RpcError:
            pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3):
        client.fetch(url, attempts=1)
    try:
        wait_until(lambda: OPEN in seen and HALF_OPEN in seen[seen.index(OPEN) :], "the watcher has seen it")
    finally:
        call.cancel()
        watcher.join()


def test_a_dry_run_tells_what_holds_and_asks_no_origin(
    origins: origin_service.OriginServiceStub, origin: ScriptedOrigin, dns: Any
) -> None:
    url = origin.route("/", lambda connection: connection.reply(b""))
    dry = check(origins, url)
    assert (dry.allowed, dry.caller, dry.verdict) == (True, "itest", origin_pb.CheckUrlResponse.VERDICT_GO)
    assert dry.timeouts.total.seconds == 30 and dry.retry.max_attempts == 3
    assert origin.count("/") == 0
    dns.names["slow.test"] = ["127.0.0.1", "10.1.2.3"]
    dry = check(origins, "http://slow.test/")
    assert {a.address: a.allowed for a in dry.addresses} == {"127.0.0.1": True, "10.1.2.3": False}
    assert (dry.origin.rule, dry.origin.rate_limit.per_second) == ("slow.test", 0.1)
    assert check(origins, "http://no-such-name.test/").dns_error
    forbidden = check(origins, "http://10.1.2.3/")
    assert not forbidden.allowed and "10.1.2.3" in forbidden.reason


def test_operators_open_close_and_reset(
    client: Client,
    origins: origin_service.OriginServiceStub,
    admin: origin_service.AdminServiceStub,
    origin: ScriptedOrigin,
    fetchd: Fetchd,
) -> None:
    url = origin.route("/", lambda connection: connection.reply(b""))
    name = name_of(url)
    opened = admin.ForceOpen(origin_pb.ForceOpenRequest(name=name), timeout=10, metadata=(("fetchd-caller", "alice"),))
    assert opened.origin.breaker.state == OPEN and opened.origin.breaker.forced
    error_of(client.fetch(url), pb.CIRCUIT_OPEN)
    admin.ForceClose(origin_pb.ForceCloseRequest(name=name), timeout=10)
    response_of(client.fetch(url))
    assert get(origins, url).breaker.forced
    admin.ResetOrigin(origin_pb.ResetOriginRequest(name=name), timeout=10)
    assert not get(origins, url).breaker.forced
    assert re.search(r'act="?force_open.*caller="?alice', fetchd.log())

    with pytest.raises(grpc.RpcError) as refused:
        origin_service.AdminServiceStub(fetchd.channel()).ResetOrigin(
            origin_pb.ResetOriginRequest(name=name), timeout=10, metadata=METADATA
        )
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_fetchctl_shows_traces_origins_and_checks(
    fetchd: Fetchd, origin: ScriptedOrigin, admin_address: str
) -> None:
    url = origin.route("/", lambda connection: connection.reply(b"hello"))
    name = name_of(url)

    def fetchctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
        words = [str(FETCHCTL), *arguments]
        if arguments[0] != "admin":
            words += ["--target", fetchd.target]
        return subprocess.run(words, capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)

    done = fetchctl("get", "--explain", url)
    assert (done.returncode, done.stdout) == (0, "hello")
    policy, attempt = done.stderr.splitlines()
    assert "policy: applied, total 30 s, attempt 10 s" in policy
    assert re.match(rf"\* +[0-9.]+ ms  attempt 1: HTTP 200 from {name[7:]} in ", attempt)
    done = fetchctl("origins", "--host", "127.0.0.1")
    assert re.search(rf"^{name}\tclosed\t0 in flight of \d+, 1 connections \(1 idle\)", done.stdout, re.M)
    done = fetchctl("check", url)
    assert done.returncode == 0 and "goes at once" in done.stdout
    done = fetchctl("admin", "--admin", admin_address, "open", name, "--for", "60")
    assert done.returncode == 0 and "\topen by hand until " in done.stdout
    done = fetchctl("check", url)
    assert done.returncode == 75 and "is refused until" in done.stdout
    assert fetchctl("admin", "--admin", admin_address, "reset", name).returncode == 0
    assert fetchctl("check", url).returncode == 0


def test_reflection_and_health_know_the_services(fetchd: Fetchd) -> None:
    # The messages are small enough to be written by hand: field 1 of HealthCheckRequest, field 1 of its response; and
    # list_services = "".
    reflection = fetchd.channel().stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    (services,) = reflection(iter([b"\x3a\x00"]), timeout=10)
    for service in ("fetchd.v1.OriginService", "fetchd.v1.AdminService"):
        check_health = fetchd.channel().unary_unary("/grpc.health.v1.Health/Check")
        assert check_health(b"\n" + bytes([len(service)]) + service.encode(), timeout=10) == b"\x08\x01"
        assert service.encode() in services

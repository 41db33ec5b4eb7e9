"""What operators and load balancers see: metrics, probes, health, reflection, the access log, failed starts."""

import json
import pathlib
import re
import socket
import subprocess
import threading
from typing import Any, Callable

import pytest
from calls import Client, response_of
from fetchd.v1 import fetch_pb2 as pb
from real_origins import Nginx, refusing_port
from scripted_origin import Connection, ScriptedOrigin
from server_process import FETCHD, Fetchd
from waiting import wait_until


def health(server: Fetchd, service: str = "") -> bytes:
    """The reply of grpc.health.v1.Health/Check, as bytes; b"\\x08\\x01" is SERVING."""
    call = server.channel().unary_unary("/grpc.health.v1.Health/Check")
    return call(b"\x0a" + bytes([len(service)]) + service.encode() if service else b"", timeout=10)


def test_probes(fetchd: Fetchd) -> None:
    assert fetchd.get("/livez")[0] == 200
    assert fetchd.get("/readyz")[0] == 200
    assert fetchd.get("/metrics")[0] == 200
    assert fetchd.get("/secrets")[0] == 404


@pytest.mark.parametrize("service", ["", "fetchd.v1.FetchService"])
def test_health_is_serving(fetchd: Fetchd, service: str) -> None:
    assert health(fetchd, service) == b"\x08\x01"


def test_reflection_lists_our_services(fetchd: Fetchd) -> None:
    call = fetchd.channel().stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    # list_services = ""
    (reply,) = call(iter([b"\x3a\x00"]), timeout=10)
    assert b"fetchd.v1.FetchService" in reply
    assert b"grpc.health.v1.Health" in reply


def test_fetches_are_counted(fetchd: Fetchd, client: Client, nginx: Nginx) -> None:
    def value(name: str, **labels: str) -> Callable[[], float]:
        return lambda: fetchd.metric(name, **labels)

    good, bad = value("fetchd_fetches_total", outcome="2xx"), value("fetchd_fetches_total", outcome="4xx")
    failed, attempts = value("fetchd_fetches_total", outcome="failure"), value("fetchd_attempts_total")
    received = value("fetchd_response_body_bytes_total")
    before = [good(), bad(), failed(), attempts(), received()]
    for _ in range(3):
        client.fetch(nginx.url("/1k"))
    client.fetch(nginx.url("/missing"))
    client.fetch(f"http://127.0.0.1:{refusing_port()}/", attempts=2)
    wait_until(lambda: failed() == before[2] + 1, "the failure is counted")
    after = [good(), bad(), failed(), attempts(), received()]
    assert [b - a for a, b in zip(before, after)][:4] == [3, 1, 1, 6]
    assert after[4] - before[4] >= 3 * 1024
    assert fetchd.metric("fetchd_fetch_failures_total", code="connection_refused", phase="connect") >= 1
    assert fetchd.metric("fetchd_fetch_duration_seconds_count") >= 5
    assert fetchd.metric("fetchd_connections_reused_total") >= 2
    assert fetchd.metric("fetchd_connections", state="idle") >= 1


def test_gauges_go_up_and_down(fetchd: Fetchd, client: Client, origin: ScriptedOrigin) -> None:
    release = threading.Event()

    def script(connection: Connection) -> None:
        connection.hold(release)
        connection.reply(b"ok")

    wait_until(fetchd.idle, "nothing is in flight")
    calls = [client.fetch_later(origin.route("/x", script)) for _ in range(7)]
    wait_until(lambda: origin.count("/x") == 7, "all are at the origin")
    assert fetchd.in_flight() == 7
    assert fetchd.leases() == 7
    assert fetchd.metric("fetchd_connections", state="active") == 7
    release.set()
    for call in calls:
        response_of(call.result())
    wait_until(fetchd.idle, "nothing is in flight")


def test_no_label_comes_from_callers(fetchd: Fetchd, client: Client, origin: ScriptedOrigin) -> None:
    before = len(fetchd.metrics())
    for i in range(50):
        url = origin.route(f"/label-{i}", lambda connection: connection.reply(b"", 200 + connection.number % 300))
        Client(client.channel, f"caller-{i}").fetch(url, method=f"M{i}")
    text = fetchd.get("/metrics")[1]
    assert "label-" not in text and "caller-" not in text and '"M1"' not in text
    assert len(fetchd.metrics()) <= before + 10


def test_metrics_are_well_formed_and_documented(fetchd: Fetchd, client: Client, nginx: Nginx) -> None:
    client.fetch(nginx.url("/1k"))
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
    documented = page.read_text()
    names = set(re.findall(r"^# TYPE (\S+) \w+$", fetchd.get("/metrics")[1], re.M))
    assert names
    for name in names:
        if name.startswith("fetchd_"):
            assert name in documented, f"{name} is not in docs/metrics.md"


class TestAccessLog:
    def line(self, server: Fetchd, fetch_id: str) -> str:
        def found() -> str:
            lines = [line for line in server.access_log().splitlines() if fetch_id in line]
            assert len(lines) <= 1
            return lines[0] if lines else ""

        return wait_until(found, "the fetch is in the log")

    def test_one_line_without_secrets(self, start_fetchd: Any, origin: ScriptedOrigin) -> None:
        server: Fetchd = start_fetchd(log={"request_headers": ["authorization", "x-open", "x-hidden"]})
        client = Client(server.channel(), "billing")
        url = origin.route("/x", lambda connection: connection.reply(b"12345"))
        request = pb.FetchRequest(url=url + "?token=hush-query", method="POST", body=b"hush-body")
        request.headers.add(name="Authorization", value=b"hush-authorization")
        request.headers.add(name="x-open", value=b"seen\x01\x02")
        request.headers.add(name="x-hidden", value=b"hush-hidden", sensitive=True)
        reply = client.fetch(request)
        line = self.line(server, reply.fetch_id)
        for word in ("billing", "POST", "/x", "200", "seen", "<redacted>", "Fetch"):
            assert word in line
        assert "hush" not in server.access_log() + server.log()
        assert "\x01" not in line

    def test_json(self, start_fetchd: Any, nginx: Nginx) -> None:
        server: Fetchd = start_fetchd(log={"format": "json"})
        reply = Client(server.channel()).fetch(nginx.url("/missing"))
        entry = json.loads(self.line(server, reply.fetch_id))
        assert reply.fetch_id in entry.values()
        assert 404 in entry.values()

    def test_failures_only(self, start_fetchd: Any, nginx: Nginx) -> None:
        server: Fetchd = start_fetchd(log={"access": "failures"})
        client = Client(server.channel())
        good = client.fetch(nginx.url("/1k"))
        bad = client.fetch(f"http://127.0.0.1:{refusing_port()}/", attempts=1)
        assert "connection_refused" in self.line(server, bad.fetch_id)
        assert good.fetch_id not in server.access_log()

    def test_a_callers_bytes_cannot_forge_a_line(self, start_fetchd: Any, origin: ScriptedOrigin) -> None:
        server: Fetchd = start_fetchd(log={"request_headers": ["x-evil"]})
        url = origin.route("/x", lambda connection: connection.reply())
        value = 'a" fetch_id="forged" status=200 \x85\u2028'.encode()
        reply = Client(server.channel()).fetch(url, headers=[("x-evil", value)])
        line = self.line(server, reply.fetch_id)
        assert ' fetch_id="forged"' not in line
        assert len(server.access_log().splitlines()) == 1


class TestStart:
    """Each failed start says what to do, by exit code and message."""

    def run(self, *flags: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([str(FETCHD), *flags], capture_output=True, text=True, timeout=60, check=False)

    def test_a_port_that_is_taken(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for flags in (
                ("--listen", address, "--ops_listen", "127.0.0.1:0"),
                ("--listen", "127.0.0.1:0", "--ops_listen", address),
            ):
                done = self.run(*flags)
                assert done.returncode not in (0, 1), done.stderr
                assert done.returncode < 128, done.stderr
                assert address in done.stderr

    def test_a_port_file_that_cannot_be_written(self) -> None:
        done = self.run("--listen", "127.0.0.1:0", "--ops_listen", "127.0.0.1:0", "--port_file", "/no/such/dir/ports")
        assert 0 < done.returncode < 128
        assert "/no/such/dir/ports" in done.stderr

    def test_unknown_flag(self) -> None:
        done = self.run("--no_such_flag=1")
        assert 0 < done.returncode < 128
        assert "no_such_flag" in done.stderr

    def test_help_and_version(self) -> None:
        done = self.run("--version")
        assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)
        done = self.run("--help")
        assert "check_config" in done.stdout + done.stderr



def test_port_file(fetchd: Fetchd) -> None:
    assert re.fullmatch(r"grpc=\d+\nops=\d+\n", (fetchd.directory / "ports").read_text())

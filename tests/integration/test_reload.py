"""The configuration read again on SIGHUP: taken as a whole or refused as a whole, and no call notices."""

import json
import pathlib
import signal
import subprocess
import threading
from typing import Any, Dict, List

import grpc
import pytest
from calls import Client, status_details
from fetchd.v1 import fetch_pb2 as pb
from scripted_origin import Connection, ScriptedOrigin
from server_process import FETCHD, Fetchd, merged
from waiting import SANITIZER, wait_until

MIB = 1024 * 1024


def outage(connection: Connection) -> None:
    """Says 503, so that the number of attempts tells which policy holds."""
    connection.reply(b"later", status=503)


def done(connection: Connection) -> None:
    """Says 200."""
    connection.reply(b"done")


def write(server: Fetchd, text: str) -> None:
    """Replaces the config file, whole or not at all."""
    part = server.config_file.with_suffix(".part")
    part.write_text(text)
    part.rename(server.config_file)


def reload(server: Fetchd, text: str) -> str:
    """Writes the file, sends SIGHUP and waits until it was read; what came of it, "ok" or "refused"."""
    before = counts(server)
    write(server, text)
    server.signal(signal.SIGHUP)
    after = wait_until(lambda: now if (now := counts(server)) != before else None, "the configuration was read")
    (result,) = [name for name in after if after[name] != before[name]]
    assert after[result] == before[result] + 1
    return result


def lines(server: Fetchd, words: str) -> List[str]:
    """Lines of its log with these words; waits for the first one, as a reload is counted before it is told."""
    return wait_until(lambda: [line for line in server.log().splitlines() if words in line], f"the log says {words}")


def counts(server: Fetchd) -> Dict[str, float]:
    """Reloads by result."""
    metrics = server.metrics()
    return {name: metrics[f'fetchd_config_reloads_total{{result="{name}"}}'] for name in ("ok", "refused")}


def config_of(server: Fetchd) -> Dict[str, Any]:
    """What the server was started with."""
    return json.loads(server.config_file.read_text())


def retries(attempts: int, **more: Any) -> Dict[str, Any]:
    """A `retry` section of so many quick attempts."""
    return {"retry": {"max_attempts": attempts, "initial_backoff": "1ms", "max_backoff": "1ms"}, **more}


# Only retries are looked at here.
QUIET: Dict[str, Any] = {"breaker": {"enabled": False}, "retry_budget": {"min_concurrent": 1000}}


def test_a_good_file_holds_from_the_next_fetch_on(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    url = origin.route("/503", outage)
    server: Fetchd = start_fetchd(**merged(QUIET, retries(1)))
    started = config_of(server)
    client = Client(server.channel())
    assert client.fetch(url).attempts == 1
    assert reload(server, json.dumps(merged(started, retries(4)))) == "ok"
    assert client.fetch(url).attempts == 4
    assert len(lines(server, "configuration reloaded")) == 1
    assert "needs a restart" not in server.log()

    assert reload(server, json.dumps(merged(started, {"pool": {"idle_timeout": "7s"}, "engine": {"threads": 3}}))) == "ok"
    assert client.fetch(url).attempts == 1
    (warning,) = lines(server, "needs a restart")
    assert "level=warning" in warning and "engine.threads,pool.idle_timeout" in warning


def test_a_bad_file_changes_nothing_and_is_explained(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    url = origin.route("/503", outage)
    server: Fetchd = start_fetchd(**merged(QUIET, retries(2)))
    client = Client(server.channel())
    good = server.config_file.read_text()
    nowhere = {"cert_file": "/nowhere", "key_file": "/nowhere"}
    for bad, what in (
        (good.replace('"max_attempts": 2', '"max_attempts": 11'), "retry.max_attempts"),
        (good[: len(good) // 2], "not valid YAML"),
        (json.dumps(merged(json.loads(good), retries(5, tls=nowhere))), "tls.key_file"),
    ):
        assert reload(server, bad) == "refused"
        assert client.fetch(url).attempts == 2
        (line,) = lines(server, what)
        assert "configuration refused" in line and "level=error" in line
    server.config_file.unlink()
    server.signal(signal.SIGHUP)
    wait_until(lambda: counts(server)["refused"] == 4, "a missing file is refused")
    assert client.fetch(url).attempts == 2


class Load:
    """Callers that fetch again and again until they are told to end; each result has to be good."""

    def __init__(self, server: Fetchd, url: str, callers: int):
        self.good = 0
        self.wrong: List[str] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._url = url
        self._threads = [threading.Thread(target=self._run, args=(Client(server.channel()),)) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _run(self, client: Client) -> None:
        while not self._ended.is_set():
            try:
                reply = client.fetch(self._url, attempts=1)
                good = reply.HasField("response") and reply.response.body == b"done"
                wrong = "" if good else str(reply)
            except grpc.RpcError as error:
                wrong = str(error)
            with self._lock:
                if wrong:
                    self.wrong.append(wrong)
                else:
                    self.good += 1

    def end(self) -> None:
        """Waits for the last ones."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_a_hundred_reloads_under_load(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    """Half of them are invalid: no call fails, the old policy stays, and nothing is left behind."""
    url, down = origin.route("/done", done), origin.route("/503", outage)
    server: Fetchd = start_fetchd(**merged(QUIET, retries(1)))
    started = config_of(server)
    # Rules enough that a book which is not freed would be seen.
    hosts = [{"hosts": [f"h{i}.example.com", f"*.h{i}.example.com"], "retry": {"max_attempts": 2}} for i in range(200)]
    profiles = [{"name": f"p{i}", "priority": "bulk"} for i in range(20)]
    rules = {"origins": hosts, "profiles": profiles, "callers": [{"name": "itest", "weight": 2}]}
    load = Load(server, url, callers=4)
    probe = Client(server.channel())
    before_fds = before_rss = expected = 0
    try:
        for number in range(100):
            if number == 20:
                before_fds, before_rss = server.fds(), server.rss()
            config = merged(merged(started, rules), retries(1 + number % 5))
            if number % 2 == 1:
                config["breaker"] = {"trials": 0}
            result = reload(server, json.dumps(config))
            assert result == ("refused" if number % 2 == 1 else "ok")
            if result == "ok":
                expected = 1 + number % 5
            assert probe.fetch(down).attempts == expected
        # Connections of the load come and go.
        wait_until(lambda: server.fds() <= before_fds + 2, "no file is left open")
        grown = server.rss() - before_rss
    finally:
        load.end()
    assert load.wrong == []
    assert load.good > 100
    assert counts(server) == {"ok": 50, "refused": 50}
    print(f"{load.good} fetches during 100 reloads; RSS grew by {grown / MIB:.1f} MiB from the 20th on")
    if not SANITIZER:
        assert grown < 16 * MIB


def test_signals_in_a_burst_end_with_the_last_file(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    url = origin.route("/503", outage)
    server: Fetchd = start_fetchd(**merged(QUIET, retries(1)))
    started = config_of(server)
    for attempts in range(1, 6):
        write(server, json.dumps(merged(started, retries(attempts))))
        server.signal(signal.SIGHUP)
    client = Client(server.channel())
    wait_until(lambda: client.fetch(url).attempts == 5, "the last file holds")


def test_rules_and_profiles_reach_every_call(start_fetchd: Any, origin: ScriptedOrigin) -> None:
    url = origin.route("/503", outage)
    rules = {"origins": [{"hosts": ["127.0.0.1"], **retries(2)}], "profiles": [{"name": "patient", **retries(5)}]}
    server: Fetchd = start_fetchd(**merged(QUIET, rules))
    client = Client(server.channel())
    assert client.fetch(url).attempts == 2
    assert client.fetch(url, attempts=3).attempts == 3

    patient = pb.FetchRequest(url=url, profile="patient")
    assert client.fetch(patient).attempts == 5
    results = [result for message in client.batch([patient, patient]) for result in message.results]
    assert [result.fetch.attempts for result in results] == [5, 5]
    patient.retry.max_attempts = 1
    assert client.fetch(patient).attempts == 1

    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(pb.FetchRequest(url=url, profile="hasty"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "profile" in str(status_details(caught.value))


def check(directory: pathlib.Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """What `fetchd --config ... FLAGS` says."""
    file = directory / "fetchd.yaml"
    file.write_text(
        "retry: {max_attempts: 2}\n"
        "origins:\n  - hosts: ['*.example.com']\n    retry: {max_attempts: 4}\n    rate_limit: {per_second: 50}\n"
        "profiles:\n  - {name: nightly, priority: bulk}\n"
        "callers:\n  - {name: 'batch-*', weight: 3}\n"
    )
    command = [str(FETCHD), "--config", str(file), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_url_shows_the_effective_policy(tmp_path: pathlib.Path) -> None:
    flags = ("--check_config", "--check_url=https://api.example.com/x")
    shown = check(tmp_path, *flags, "--check_profile=nightly", "--check_caller=batch-1")
    assert shown.returncode == 0, shown.stderr
    values = shown.stdout.splitlines()
    assert values[:4] == [
        'origin: "https://api.example.com:443"',
        'rule: {index: 0, host: "*.example.com"}',
        "profile: nightly",
        "caller: {name: batch-1, weight: 3}",
    ]
    for line in ("  max_attempts: 4", "  per_second: 50", "priority: bulk", "  trials: 3"):
        assert line in values
    other = check(tmp_path, "--check_config", "--check_url=http://example.com/")
    assert "rule: none" in other.stdout and "  max_attempts: 2" in other.stdout


@pytest.mark.parametrize(
    "flags,word",
    [
        (("--check_config", "--check_url=example.com"), "example.com"),
        (("--check_config", "--check_url=http://h/", "--check_profile=daily"), "daily"),
        (("--check_url=http://h/",), "--check_config"),
        (("--check_config", "--check_profile=nightly"), "--check_url"),
        (("--check_config", "--check_caller=a"), "--check_url"),
    ],
    ids=["no_url", "no_profile", "url_alone", "profile_alone", "caller_alone"],
)
def test_what_cannot_be_checked_is_a_usage_error(tmp_path: pathlib.Path, flags: Any, word: str) -> None:
    refused = check(tmp_path, *flags)
    assert refused.returncode == 64, refused.stdout
    assert word in refused.stderr

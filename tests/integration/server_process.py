"""fetchd as a process, with everything that can be read from the outside."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any, Dict, List, Optional

import grpc

import waiting

BIN_DIR = pathlib.Path(os.environ.get("FETCHD_BIN_DIR", "build/dev/bin")).resolve()
FETCHD = BIN_DIR / "fetchd"
FETCHCTL = BIN_DIR / "fetchctl"

# Requests to the operator's port go past any proxy of the environment.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def dies_with_us(command: List[str]) -> List[str]:
    """The command, to be killed by the kernel if this process dies without doing so."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def merged(base: Dict[str, Any], more: Dict[str, Any]) -> Dict[str, Any]:
    """`base` with the keys of `more`, section by section."""
    result = dict(base)
    for key, value in more.items():
        result[key] = merged(base[key], value) if isinstance(value, dict) and key in base else value
    return result


class Fetchd:
    """One server on ports of its own. Its files (config, output) are in `directory`."""

    def __init__(self, directory: pathlib.Path, config: Dict[str, Any]):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.config_file = directory / "fetchd.yaml"
        # JSON is YAML.
        self.config_file.write_text(json.dumps(config, indent=1))
        self.stdout_file, self.stderr_file = directory / "stdout", directory / "stderr"
        self.process: Optional[subprocess.Popen] = None
        self.grpc_port = self.ops_port = 0
        self._channels: List[grpc.Channel] = []

    def start(self) -> "Fetchd":
        """Starts it and waits until it is ready."""
        ports = self.directory / "ports"
        ports.unlink(missing_ok=True)
        command = [str(FETCHD), "--config", str(self.config_file), "--listen", "127.0.0.1:0"]
        command += ["--ops_listen", "127.0.0.1:0", "--port_file", str(ports)]
        with open(self.stdout_file, "ab") as out, open(self.stderr_file, "ab") as err:
            self.process = subprocess.Popen(dies_with_us(command), stdout=out, stderr=err, stdin=subprocess.DEVNULL)

        def ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"fetchd ended with {self.process.returncode}:\n{self.log()}")
            found = dict(re.findall(r"^(\w+)=(\d+)$", ports.read_text(), re.M)) if ports.exists() else {}
            if not {"grpc", "ops"} <= found.keys():
                return False
            self.grpc_port, self.ops_port = int(found["grpc"]), int(found["ops"])
            return self.get("/readyz")[0] == 200

        try:
            waiting.wait_until(ready, "fetchd is ready", 20)
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def target(self) -> str:
        """`host:port` for gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def pid(self) -> int:
        """The process."""
        assert self.process is not None
        return self.process.pid

    def channel(self, *options: tuple) -> grpc.Channel:
        """A new insecure channel with gRPC's default limits, closed with the server."""
        settings = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), *options]
        channel = grpc.insecure_channel(self.target, options=settings)
        self._channels.append(channel)
        return channel

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a path of the operator's port; (0, "") if nobody answers."""
        try:
            with _DIRECT.open(f"http://127.0.0.1:{self.ops_port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> Dict[str, float]:
        """All samples, by `name{labels}`."""
        status, text = self.get("/metrics")
        assert status == 200, f"/metrics answered {status}"
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that have these labels."""
        total, found = 0.0, False
        for sample, value in self.metrics().items():
            if sample.partition("{")[0] == name:
                found = True
                if all(f'{key}="{wanted}"' in sample for key, wanted in labels.items()):
                    total += value
        assert found, f"no metric {name}"
        return total

    def in_flight(self) -> float:
        """Fetches in flight."""
        return self.metric("fetchd_fetches_in_flight")

    def leases(self) -> float:
        """Leases of connections."""
        return self.metric("fetchd_leases")

    def idle(self) -> bool:
        """Nothing in flight, nothing leased."""
        return self.in_flight() == 0 and self.leases() == 0

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1)) * 1024  # type: ignore[union-attr]

    def fds(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def log(self) -> str:
        """The end of what it wrote to standard error."""
        return self.stderr_file.read_text(errors="replace")[-8000:]

    def access_log(self) -> str:
        """Its access log so far."""
        return self.stdout_file.read_text(errors="replace")

    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Waits for the end; the exit code."""
        assert self.process is not None
        return self.process.wait(seconds * waiting.SLOWNESS)

    def stop(self) -> None:
        """Ends it as an operator would; fails if it does not end well (a sanitizer's findings are seen here)."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal()
            try:
                self.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"fetchd did not end after SIGTERM:\n{self.log()}") from None
        code = self.process.returncode
        self.process = None
        assert code == 0, f"fetchd ended with {code}:\n{self.log()}"

    def kill(self) -> None:
        """Ends it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None


def monotonic_ms(start: float) -> float:
    """Milliseconds since `start` (time.monotonic())."""
    return (time.monotonic() - start) * 1000

"""Starts what is measured: fetchd and its peers."""
import json
import os
import pathlib
import signal
import subprocess
import sys

from origins import free_port, wait_for_port

HERE = pathlib.Path(__file__).resolve().parent
PEERS = ["cpp_libcurl", "go_nethttp", "node_undici", "python_aiohttp", "python_httpx"]
# fetchd's engine behind other arrangements of threads, by bench_loops; they serve Fetch and FetchBatch only.
LOOPS = {f"loop-{loop}": loop for loop in ("callback", "two-threads", "one-thread")}
# Everything else is the default. The growth loads open more connections than a pool has by default, and keep more
# fetches in flight.
GROWN = {"pool": {"max_connections_per_origin": 10000, "max_connections": 20000, "max_queue_per_origin": 20000},
         "limits": {"max_in_flight": 20000}}


class Server:
    """One running process. `api` is what the load generator has to speak."""

    def __init__(self, name, process, port, api):
        self.name, self.process, self.port, self.api = name, process, port, api

    @property
    def pid(self):
        return self.process.pid

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError(f"{self.name} has ended")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self):
        # A drain would wait for calls the load generator left behind.
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Servers:
    """Knows how to start each server. `also` maps further names to other binaries of fetchd."""

    def __init__(self, bin_folder, peers_folder, run_folder, ca_file, also):
        self.bin, self.peers, self.run = map(pathlib.Path, (bin_folder, peers_folder, run_folder))
        self.ca_file = ca_file
        # How each name that is fetchd's is started, but for its config.
        self.fetchds = {"fetchd": [self.bin / "fetchd"],
                        **{name: [self.bin / "bench_loops", f"--loop={loop}"] for name, loop in LOOPS.items()},
                        **{name: [path] for name, path in also.items()}}

    def prepare(self, names):
        """The names that can run, after making what they need."""
        made_by_script = [n for n in names if n in PEERS and n != "cpp_libcurl"]
        if made_by_script:
            subprocess.run([HERE / "peers" / "setup.sh", self.peers, *made_by_script], check=True, stdout=sys.stderr)
        able = []
        for name in names:
            missing = [str(p) for p in self._needs(name) if not pathlib.Path(p).exists()]
            if missing:
                print(f"bench: {name} is left out: no {', '.join(missing)}", file=sys.stderr)
            else:
                able.append(name)
        return able

    def is_fetchd(self, name):
        return self._variant(name)[0] in self.fetchds

    def start(self, name, grown=False):
        """Starts it on a free port, its output in a file; returns when it listens."""
        port = free_port()
        environment = {**os.environ, "PEER_CA": str(self.ca_file), "PEER_STUBS": str(self.peers / "python"),
                       "PYTHONDONTWRITEBYTECODE": "1"}
        command = self._fetchd_command(name, port, grown) if self.is_fetchd(name) else self._peer_command(name, port)
        with open(self.run / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        server = Server(name, process, port, "fetchd" if self.is_fetchd(name) else "peer")
        try:
            wait_for_port(port, process)
        except RuntimeError as e:
            process.kill()
            process.wait()
            tail = (self.run / f"{name}.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{e}\n{tail}") from None
        return server

    def _variant(self, name):
        """fetchd-2 is fetchd with two engine threads."""
        base, dash, threads = name.rpartition("-")
        return (base, int(threads)) if dash and threads.isdigit() and base in self.fetchds else (name, None)

    def _needs(self, name):
        base = self._variant(name)[0]
        if base in self.fetchds:
            return self.fetchds[base][:1]
        return {"cpp_libcurl": [self.bin / "peer_libcurl"], "go_nethttp": [self.peers / "go/peer_go"],
                "node_undici": [self.peers / "node_undici/node_modules/undici"],
                "python_aiohttp": [self.peers / "python/peer_pb2_grpc.py"],
                "python_httpx": [self.peers / "python/peer_pb2_grpc.py"]}.get(name, [f"server of this name: {name}"])

    def _fetchd_command(self, name, port, grown):
        base, threads = self._variant(name)
        config = {"listen": [f"127.0.0.1:{port}"], "ops": {"listen": "127.0.0.1:0"},
                  "guard": {"allow_cidrs": ["127.0.0.0/8", "::1/128"]},
                  "upstream_tls": {"ca_file": str(self.ca_file)}}
        if threads:
            config["engine"] = {"threads": threads}
        if grown:
            config.update(GROWN)
        path = self.run / f"{name}.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML.
        return [*self.fetchds[base], f"--config={path}"]

    def _peer_command(self, name, port):
        at = f"127.0.0.1:{port}"
        return {"cpp_libcurl": [self.bin / "peer_libcurl", at], "go_nethttp": [self.peers / "go/peer_go", at],
                "node_undici": ["node", self.peers / "node_undici/server.js", at],
                "python_aiohttp": ["/usr/bin/python3", HERE / "peers/python_aiohttp/server.py", at],
                "python_httpx": ["/usr/bin/python3", HERE / "peers/python_httpx/server.py", at]}[name]

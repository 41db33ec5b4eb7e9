"""Origins that are not ours: nginx and httpbin; and the certificates they show."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
from typing import Dict, List, Optional

import waiting
from server_process import dies_with_us

SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support" / "origins"


def free_port() -> int:
    """A port that was free a moment ago, of those that the kernel gives to nobody by itself. Who uses it tries again if
    it is not free any more."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


_held: List[socket.socket] = []


def refusing_port() -> int:
    """A port that refuses connections, and goes on to: it is held, so that nobody else comes to listen there, nor is
    it the near end of somebody's connection."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    return holder.getsockname()[1]


def answers(port: int) -> bool:
    """Whether something listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Certificates:
    """A CA of the test's own and what it signed, in files: ca, good, expired, wrong_host, untrusted, client."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._ca("ca")
        self._ca("other_ca")
        names = "DNS:localhost,DNS:origin.test,IP:127.0.0.1,IP:::1"
        self._signed("good", names)
        self._signed("expired", names, dates=("20200101000000Z", "20200201000000Z"))
        self._signed("wrong_host", "DNS:elsewhere.test")
        self._signed("untrusted", names, ca="other_ca")
        self._signed("client", "DNS:client.test")

    def file(self, name: str) -> pathlib.Path:
        """A file by its name, such as "ca.pem" or "good.key"."""
        return self.directory / name

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _ca(self, name: str) -> None:
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
            *("-subj", f"/CN=fetchd test {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
        )

    def _signed(self, name: str, alt_names: str, ca: str = "ca", dates: Optional[tuple[str, str]] = None) -> None:
        self._openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        # `openssl x509` of Debian 12 cannot date a certificate back; `openssl ca` can.
        (self.directory / f"{name}.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
            f"new_certs_dir=.\nunique_subject=no\n[p]\ncommonName=supplied\n[x]\nsubjectAltName={alt_names}\n"
            "basicConstraints=CA:FALSE\n"
        )
        (self.directory / "index.txt").touch()
        days = ("-startdate", dates[0], "-enddate", dates[1]) if dates else ("-days", "20")
        self._openssl(
            *("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-extensions", "x", "-cert", f"{ca}.pem"),
            *("-keyfile", f"{ca}.key", "-in", f"{name}.csr", "-out", f"{name}.pem", *days),
        )


class Nginx:
    """nginx with a document root, an upload folder and one TLS server for each kind of certificate."""

    # The first four are one server, spoken to in as many ways (see web_servers.py).
    PORTS = ("HTTP", "H2C", "TLS_HTTP_1_1", "TLS_HTTP_2")
    PORTS += ("TLS_GOOD", "TLS_EXPIRED", "TLS_WRONG_HOST", "TLS_UNTRUSTED", "TLS_OLD", "TLS_CLIENT_CERT")

    def __init__(self, directory: pathlib.Path, certificates: Certificates):
        self.directory, self.certificates = directory, certificates
        self.root = directory / "www"
        (self.root / "gzip").mkdir(parents=True)
        (directory / "upload").mkdir()
        (self.root / "1k").write_bytes(bytes(i % 251 for i in range(1024)))
        (self.root / "hello.txt").write_bytes(b"hello\n")
        self.ports: Dict[str, int] = {}
        self.process: Optional[subprocess.Popen] = None

    def sparse(self, name: str, size: int) -> str:
        """A file of zeros that takes no room; the URL."""
        with open(self.root / name, "wb") as file:
            file.truncate(size)
        return self.url("/" + name)

    def url(self, path: str = "/", server: str = "HTTP", host: str = "127.0.0.1") -> str:
        """URL of a path on one of the servers."""
        return f"http{'s' if server.startswith('TLS') else ''}://{host}:{self.ports[server]}{path}"

    def start(self) -> "Nginx":
        """Starts it, on other ports if some were taken in the meantime."""
        template = (SUPPORT / "nginx.conf.template").read_text()
        for _ in range(5):
            self.ports = {name: free_port() for name in self.PORTS}
            text = template.replace("@DIR@", str(self.directory)).replace("@CERTS@", str(self.certificates.directory))
            for name, port in self.ports.items():
                text = text.replace(f"@{name}@", str(port))
            conf = self.directory / "nginx.conf"
            conf.write_text(text)
            if self._run():
                return self
        raise AssertionError(f"nginx does not start: {(self.directory / 'error.log').read_text()[-3000:]}")

    def _run(self) -> bool:
        """Starts the process on the ports there are. False if it ended at once."""
        conf = self.directory / "nginx.conf"
        command = ["/usr/sbin/nginx", "-p", str(self.directory), "-c", str(conf), "-e", str(self.directory / "error.log")]
        with open(self.directory / "stderr", "ab") as err:
            process = subprocess.Popen(dies_with_us(command), stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        waiting.wait_until(
            lambda: process.poll() is not None or all(map(answers, self.ports.values())), "nginx listens"
        )
        self.process = process if process.poll() is None else None
        return self.process is not None

    def kill_and_restart(self) -> None:
        """Kills it, with all its connections, and starts it on the same ports."""
        self.stop()
        assert self._run(), "the ports of nginx are taken"

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Httpbin:
    """Debian's httpbin under gunicorn, with threads."""

    def __init__(self, directory: pathlib.Path):
        directory.mkdir(parents=True, exist_ok=True)
        # Bound here and handed on, so that nobody can take the port in between.
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread"]
        command += ["--workers", "1", "--threads", "64", "--keep-alive", "20", "--timeout", "120"]
        command += ["--worker-tmp-dir", str(directory), "httpbin:app"]
        # Gunicorn would take more options from there.
        environment = {key: value for key, value in os.environ.items() if key != "GUNICORN_CMD_ARGS"}
        with open(directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                dies_with_us(command),
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )
        listener.close()

    def url(self, path: str) -> str:
        """URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """Ends it and its worker."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class StormOrigin:
    """storm_origin.py on one port, made to be killed and started again."""

    def __init__(self) -> None:
        self.port = 0
        self.process: Optional[subprocess.Popen] = None

    def url(self, path: str) -> str:
        """URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> "StormOrigin":
        """Starts it on the port it had before, or on a free one."""
        tries: List[int] = [self.port] * 20 if self.port else [free_port() for _ in range(5)]
        for port in tries:
            command = [sys.executable, str(SUPPORT / "storm_origin.py"), str(port)]
            process = subprocess.Popen(dies_with_us(command), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            waiting.wait_until(lambda: process.poll() is not None or answers(port), "the origin listens")  # noqa: B023
            if process.poll() is None:
                self.port, self.process = port, process
                return self
        raise AssertionError("the storm origin does not start")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

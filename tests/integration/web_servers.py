"""Apache httpd and nghttpd as origins. Like nginx of real_origins.py they have a port for each way to be spoken to, run
as processes of their own below a directory of their own, and hold the same files."""

import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Callable, Dict, List, Optional

import waiting
from real_origins import SUPPORT, Certificates, answers, free_port
from server_process import dies_with_us

# An id without rights: a server that would be root runs as this.
NOBODY = 65534

# 8 MiB in which no two KiB are alike, and a page that compresses well.
BIG = b"".join(i.to_bytes(4, "big") * 256 for i in range(8 * 1024))
PAGE = b"<html>\n" + b"".join(b"<p>paragraph %d of a page that repeats itself</p>\n" % i for i in range(2000)) + b"</html>\n"
FILES = {"1k": bytes(i % 251 for i in range(1024)), "hello.txt": b"hello\n", "big": BIG, "page.html": PAGE, "nothing": b""}


def write_files(root: pathlib.Path) -> None:
    """The files that all of them have."""
    root.mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        (root / name).write_bytes(data)


def unprivileged(command: List[str]) -> List[str]:
    """The command without root's rights."""
    if os.getuid() != 0:
        return command
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]


class WebServer:
    """A server in the foreground. Its ports are named by what is spoken there: HTTP, H2C (prior knowledge), TLS_HTTP_1_1,
    TLS_HTTP_2 (by ALPN, or HTTP/1.1)."""

    PORTS = ("HTTP", "H2C", "TLS_HTTP_1_1", "TLS_HTTP_2")

    def __init__(self, certificates: Certificates):
        # Not below pytest's own directory, which nobody else may enter.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="fetchd-origin-"))
        self.certificates = self.directory / "certificates"
        self.certificates.mkdir()
        for name in ("good.pem", "good.key"):
            shutil.copy(certificates.file(name), self.certificates)
        self.root = self.directory / "www"
        write_files(self.root)
        (self.directory / "upload").mkdir()
        self.ports: Dict[str, int] = {}
        self.processes: List[subprocess.Popen] = []

    def url(self, path: str = "/", server: str = "HTTP") -> str:
        """URL of a path on one of the ports."""
        return f"http{'s' if server.startswith('TLS') else ''}://127.0.0.1:{self.ports[server]}{path}"

    def commands(self) -> List[List[str]]:
        """What to run, on the ports in `ports`."""
        raise NotImplementedError

    def start(self) -> "WebServer":
        """Starts it, on other ports if some were taken in the meantime."""
        for _ in range(5):
            self.ports = {name: free_port() for name in self.PORTS}
            commands = self.commands()
            self._own()
            with open(self.directory / "stderr", "ab") as err:
                self.processes = [
                    subprocess.Popen(
                        dies_with_us(unprivileged(command)),
                        stdin=subprocess.DEVNULL,
                        stdout=err,
                        stderr=err,
                        cwd=self.directory,
                    )
                    for command in commands
                ]
            waiting.wait_until(lambda: self._ended() or all(map(answers, self.ports.values())), f"{self!r} listens")
            if not self._ended():
                return self
            self._kill()
        raise AssertionError(f"{self!r} does not start: {(self.directory / 'stderr').read_text()[-3000:]}")

    def stop(self) -> None:
        """Ends it and removes its files."""
        self._kill()
        shutil.rmtree(self.directory)

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    def _own(self) -> None:
        if os.getuid() == 0:
            for path in [self.directory, *self.directory.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)

    def __repr__(self) -> str:
        return type(self).__name__


class Apache(WebServer):
    """Apache httpd in one process. Besides the files: /upload/ takes PUT, /echo answers with the request's body, /asis/
    has replies written by `as_is`."""

    def as_is(self, name: str, status: str, headers: bytes = b"", body: bytes = b"") -> str:
        """Adds a reply; its path. `headers` are whole lines."""
        folder = self.root / "asis"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(f"Status: {status}\n".encode() + headers + b"\n" + body)
        return f"/asis/{name}"

    def commands(self) -> List[List[str]]:
        template = (SUPPORT / "apache.conf.template").read_text()
        values = {"DIR": self.directory, "CERTS": self.certificates, "MODULES": "/usr/lib/apache2/modules", **self.ports}
        for name, value in values.items():
            template = template.replace(f"@{name}@", str(value))
        (self.directory / "apache.conf").write_text(template)
        return [["/usr/sbin/apache2", "-X", "-f", str(self.directory / "apache.conf")]]


class Nghttpd(WebServer):
    """nghttpd, which speaks nothing but HTTP/2. Every response with a body ends with the trailer `x-trailer: nghttpd`; a
    POST or PUT is answered with its body."""

    PORTS = ("H2C", "TLS_HTTP_2")
    STREAMS = 100

    def commands(self) -> List[List[str]]:
        (self.root / "folder").mkdir(exist_ok=True)
        (self.root / "folder" / "index.html").write_bytes(b"in a folder\n")
        common = ["/usr/sbin/nghttpd", "--address=127.0.0.1", f"--htdocs={self.root}", "--trailer=x-trailer: nghttpd"]
        common += ["--echo-upload", f"--max-concurrent-streams={self.STREAMS}", "--mime-types-file=/dev/null"]
        plain = [*common, "--no-tls", str(self.ports["H2C"])]
        tls = [*common, str(self.ports["TLS_HTTP_2"]), *(str(self.certificates / f"good.{end}") for end in ("key", "pem"))]
        return [plain, tls]

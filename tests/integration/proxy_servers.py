"""Proxies that are not ours: squid, tinyproxy, microsocks and Dante, each with or without a user name and password. They run
as processes of their own without root's rights, below a directory of their own."""

import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import List, Optional

import waiting
from real_origins import answers, free_port
from server_process import dies_with_us
from web_servers import NOBODY, unprivileged

USER = "fetchd-itest"
PASSWORD = "pa55.w-rd.of.the.tests"
# squid's own names.
HOSTS = "127.0.0.1 inside.test\n"


class ProxyServer:
    """A proxy in the foreground on a port of 127.0.0.1."""

    # As in the URL of fetchd's configuration.
    SCHEME = "http"
    # A connection of a client serves more than one http request.
    KEEPS_ALIVE = True
    # What its log has of each tunnel or request.
    LOG = "log"

    def __init__(self, password: Optional[str] = None):
        """`password` of USER; none: whoever asks is served."""
        # Not below pytest's own directory, which nobody else may enter.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="fetchd-proxy-"))
        self.password = password
        self.port = 0
        self.process: Optional[subprocess.Popen] = None

    @property
    def url(self) -> str:
        """As fetchd's configuration wants it."""
        return f"{self.SCHEME}://127.0.0.1:{self.port}"

    def command(self) -> List[str]:
        """What to run, on `port`."""
        raise NotImplementedError

    def start(self) -> "ProxyServer":
        """Starts it, on the port it had before or on a free one."""
        for port in [self.port] * 20 if self.port else [free_port() for _ in range(5)]:
            self.port = port
            command = self.command()
            self._own()
            with open(self.directory / "stderr", "ab") as err:
                process = subprocess.Popen(
                    dies_with_us(unprivileged(command)),
                    stdin=subprocess.DEVNULL,
                    stdout=err,
                    stderr=err,
                    cwd=self.directory,
                )
            waiting.wait_until(lambda: process.poll() is not None or answers(port), f"{self!r} listens")  # noqa: B023
            if process.poll() is None:
                self.process = process
                return self
        raise AssertionError(f"{self!r} does not start: {(self.directory / 'stderr').read_text()[-3000:]}")

    def kill(self) -> None:
        """kill -9: its connections end at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Ends it and removes its files."""
        self.kill()
        shutil.rmtree(self.directory)

    def log(self) -> str:
        """What it wrote of its work."""
        path = self.directory / self.LOG
        return path.read_text(errors="replace") if path.exists() else ""

    def _write(self, name: str, text: str) -> pathlib.Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def _own(self) -> None:
        if os.getuid() == 0:
            for path in [self.directory, *self.directory.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)

    def __repr__(self) -> str:
        return type(self).__name__


class Squid(ProxyServer):
    """squid. It knows `inside.test`, which no DNS server does, as 127.0.0.1."""

    LOG = "access.log"

    def command(self) -> List[str]:
        lines = [
            f"http_port 127.0.0.1:{self.port}",
            f"pid_filename {self.directory}/squid.pid",
            f"cache_log {self.directory}/cache.log",
            f"access_log stdio:{self.directory}/access.log",
            f"coredump_dir {self.directory}",
            # squid passes over the last name of a file that does not end with a line's end.
            f"hosts_file {self._write('hosts', HOSTS)}",
            "cache deny all",
            "pinger_enable off",
            "max_filedescriptors 1024",
            "shutdown_lifetime 0 seconds",
            "visible_hostname proxy.test",
            "acl refused dstdomain refused.test",
            "http_access deny refused",
        ]
        if self.password is not None:
            # A salted MD5, which the helper understands on any system.
            made = subprocess.run(["openssl", "passwd", "-apr1", "-stdin"], input=self.password, capture_output=True, text=True, check=True)
            passwords = self._write("passwords", f"{USER}:{made.stdout}")
            lines += [f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {passwords}", "acl known proxy_auth REQUIRED"]
        lines += ["http_access allow known" if self.password is not None else "http_access allow all", "http_access deny all"]
        return ["/usr/sbin/squid", "-N", "-f", str(self._write("squid.conf", "\n".join(lines) + "\n"))]


class Tinyproxy(ProxyServer):
    """tinyproxy. It closes the connection after each http request."""

    KEEPS_ALIVE = False

    def command(self) -> List[str]:
        lines = [f"Port {self.port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 100", "LogLevel Info"]
        lines += [f'LogFile "{self.directory}/log"', f'PidFile "{self.directory}/pid"']
        if self.password is not None:
            lines.append(f"BasicAuth {USER} {self.password}")
        return ["/usr/bin/tinyproxy", "-d", "-c", str(self._write("tinyproxy.conf", "\n".join(lines) + "\n"))]


class Microsocks(ProxyServer):
    """microsocks."""

    SCHEME = "socks5"
    LOG = "stderr"

    def command(self) -> List[str]:
        credentials = ["-u", USER, "-P", self.password] if self.password is not None else []
        return ["/usr/bin/microsocks", "-i", "127.0.0.1", "-p", str(self.port), *credentials]


class Dante(ProxyServer):
    """Dante's sockd. It takes no password here: its own are those of the system's users."""

    SCHEME = "socks5"

    def command(self) -> List[str]:
        text = f"""
logoutput: {self.directory}/log
internal: 127.0.0.1 port = {self.port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 log: error }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.2/32 log: connect error }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 log: connect error }}
"""
        return ["/usr/sbin/danted", "-f", str(self._write("danted.conf", text))]

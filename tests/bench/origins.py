"""The origins of the benchmark: a private nginx, a slow one of ours, a port that refuses. All on loopback."""
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
PAGES, ITEMS_PER_PAGE = 100, 100
FILES = {"64k.bin": 64 << 10, "256m.bin": 256 << 20}


def free_port(address="127.0.0.1"):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    """Returns once `port` accepts; raises if `process` ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode} before it listened")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{process.args[0]} does not listen on {port}")


def has_ipv6_loopback():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Origins:
    """Runs them in `folder`, which others may read; use as a context manager."""

    def __init__(self, folder, slow_origin_binary):
        self.folder = pathlib.Path(folder)
        self.slow_origin_binary = slow_origin_binary
        self.processes = []

    def __enter__(self):
        try:
            self._make_files()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

    def _make_files(self):
        www = self.folder / "www"
        (www / "pages").mkdir(parents=True)
        for name, size in FILES.items():
            with open(www / name, "wb") as f:
                f.truncate(size)  # Sparse: takes no disk.
        for page in range(1, PAGES + 1):
            items = [{"id": f"{page:04d}-{i:04d}", "name": "a thing of middling length", "price": 12.50, "tags": ["a", "b"]}
                     for i in range(ITEMS_PER_PAGE)]
            # All pages are of one size, so that a reply can be checked by its size.
            following = f"/pages/{page + 1}.json" if page < PAGES else None
            text = json.dumps({"items": items, "next": following})
            (www / "pages" / f"{page}.json").write_text(text + " " * (20 - len(json.dumps(following))))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"],
                       check=True, stderr=subprocess.DEVNULL)
        os.chmod(self.folder, 0o755)  # nginx's worker may run as another user.

    def _start(self):
        self.http, self.tls, self.tls_new = free_port(), free_port(), free_port()
        self.h2c, self.tls_h2 = free_port(), free_port()
        self.many = free_port("0.0.0.0")
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        values = {"DIR": self.folder, "HTTP": self.http, "TLS": self.tls, "TLS_NEW": self.tls_new, "MANY": self.many,
                  "H2C": self.h2c, "TLS_H2": self.tls_h2,
                  "FILES": files, "CONNECTIONS": min(files - 256, 32768), "1K": "x" * 1024,
                  "1009": "x" * (1024 - len("tls-session=r")), "LISTEN6": "" if has_ipv6_loopback() else "#"}
        text = (HERE / "origin.conf").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        conf = self.folder / "nginx.conf"
        conf.write_text(text)
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not nginx:
            raise RuntimeError("nginx is not installed")
        master = subprocess.Popen([nginx, "-p", self.folder, "-c", conf, "-e", self.folder / "nginx-error.log"])
        self.processes.append(master)
        wait_for_port(self.http, master)
        slow = subprocess.Popen([self.slow_origin_binary], stdout=subprocess.PIPE, text=True)
        self.processes.append(slow)
        self.slow = int(slow.stdout.readline().partition("=")[2])
        children = pathlib.Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
        self.pids = [master.pid, slow.pid, *map(int, children)]
        # Bound and not listening: it refuses, and nobody else can take it.
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))

    @property
    def ca_file(self):
        return self.folder / "cert.pem"

    def url(self, template):
        """Fills {http}, {h2c}, {many}, {tls}, {tls_h2}, {tls_new}, {slow} and {refusing} in; {host} and {page} are the load generator's."""
        places = {"http": f"http://127.0.0.1:{self.http}", "many": f"http://{{host}}:{self.many}",
                  "tls": f"https://localhost:{self.tls}", "tls_new": f"https://localhost:{self.tls_new}",
                  "h2c": f"http://127.0.0.1:{self.h2c}", "tls_h2": f"https://localhost:{self.tls_h2}",
                  "slow": f"http://127.0.0.1:{self.slow}",
                  "refusing": f"http://127.0.0.1:{self._refusing.getsockname()[1]}"}
        for name, place in places.items():
            template = template.replace("{" + name + "}", place)
        return template

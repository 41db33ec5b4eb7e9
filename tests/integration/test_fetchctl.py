"""fetchctl, the samples and the quickstart: what people type, and what they get."""

import json
import os
import pathlib
import signal
import subprocess
from typing import Any, Callable, Dict, List

import pytest
from paged_api import PagedApi
from real_origins import Certificates, Nginx, refusing_port
from scripted_origin import ScriptedOrigin
from server_process import BIN_DIR, FETCHCTL, Fetchd
from waiting import SANITIZER, SLOWNESS, wait_until

Done = "subprocess.CompletedProcess[str]"
Fetchctl = Callable[..., Done]

ROOT = pathlib.Path(__file__).resolve().parents[2]


def environment(fetchd: Fetchd) -> Dict[str, str]:
    return {**os.environ, "FETCHD_TARGET": fetchd.target}


@pytest.fixture
def fetchctl(fetchd: Fetchd) -> Fetchctl:
    """Runs fetchctl against the shared server."""

    def run(*arguments: str, stdin: str = "", text: bool = True) -> Any:
        return subprocess.run(
            [str(FETCHCTL), *arguments],
            input=stdin if text else stdin.encode(),
            capture_output=True,
            text=text,
            env=environment(fetchd),
            timeout=60 * SLOWNESS,
            check=False,
        )

    return run


class TestGet:
    def test_body_to_standard_output(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        done: Any = fetchctl("get", nginx.url("/1k"), text=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == (nginx.root / "1k").read_bytes()

    def test_include_and_head(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        done = fetchctl("get", "-i", nginx.url("/hello.txt"))
        assert done.returncode == 0
        head, body = done.stdout.split("\n\n", 1)
        assert head.splitlines()[0] == "HTTP 200" and "content-length: 6" in head.splitlines()
        assert body == "hello\n"
        done = fetchctl("get", "-I", nginx.url("/hello.txt"))
        assert done.returncode == 0 and "content-length: 6" in done.stdout and "hello" not in done.stdout

    def test_output_file(self, fetchctl: Fetchctl, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        file = tmp_path / "out"
        done = fetchctl("get", nginx.url("/1k"), "-o", str(file))
        assert (done.returncode, done.stdout) == (0, "")
        assert file.read_bytes() == (nginx.root / "1k").read_bytes()
        assert fetchctl("get", nginx.url("/1k"), "-o", str(tmp_path / "no" / "dir")).returncode == 23

    def test_request_as_with_curl(self, fetchctl: Fetchctl, origin: ScriptedOrigin, tmp_path: pathlib.Path) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b"ok"))
        (tmp_path / "data").write_bytes(b"from file")
        arguments = ["-X", "PATCH", "-H", "X-A: 1", "-H", "x-b:2", "-d", "a=1", "-d", f"@{tmp_path / 'data'}"]
        assert fetchctl("get", *arguments, url).returncode == 0
        request = origin.requests[0]
        assert (request.method, request.body) == ("PATCH", b"a=1&from file")
        assert (request.header("x-a"), request.header("x-b")) == (b"1", b"2")
        assert fetchctl("get", "-d", "@-", url, stdin="from stdin").returncode == 0
        assert (origin.requests[1].method, origin.requests[1].body) == ("POST", b"from stdin")
        assert origin.requests[1].header("content-type") == b"application/x-www-form-urlencoded"

    def test_fail(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        assert fetchctl("get", nginx.url("/missing")).returncode == 0
        done = fetchctl("get", "-f", nginx.url("/missing"))
        assert (done.returncode, done.stdout) == (22, "")
        assert "404" in done.stderr

    def test_json(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        done = fetchctl("get", "--json", nginx.url("/hello.txt"))
        assert done.returncode == 0
        reply = json.loads(done.stdout)
        assert reply["response"]["status"] == 200

    def test_verbose_hides_secrets(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        done = fetchctl("get", "-v", "-H", "authorization: hush", "--secret-header", "x-key: hush", nginx.url("/hello.txt"))
        assert done.returncode == 0 and done.stdout == "hello\n"
        assert "authorization: (secret)" in done.stderr and "hush" not in done.stderr

    def test_redirects_and_sessions(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        login = (("set-cookie", "id=7; Path=/"), ("location", "/home"))
        url = origin.route("/login", lambda connection: connection.reply(b"moved", 303, login))
        origin.route("/home", lambda connection: connection.reply(connection.request.header("cookie") or b"-"))
        assert fetchctl("get", url).stdout == "moved"
        done = fetchctl("get", "-L", "-v", url)
        assert (done.returncode, done.stdout) == (0, "-")
        assert f"* redirected by 303 to {origin.url('/home')}" in done.stderr
        assert fetchctl("get", "--session", "one", url).stdout == "moved"
        assert fetchctl("stream", "--session", "one", origin.url("/home")).stdout == "id=7"
        assert fetchctl("get", "--session", "two", "-L", url).stdout == "id=7"
        assert fetchctl("get", "--session", "one", "--caller", "other", origin.url("/home")).stdout == "-"
        origin.route("/loop", lambda connection: connection.reply(b"", 302, (("location", "/loop"),)))
        done = fetchctl("get", "-L", origin.url("/loop"))
        assert done.returncode == 47 and "REDIRECT_LIMIT" in done.stderr

    def test_exit_codes(self, fetchctl: Fetchctl, nginx: Nginx, origin: ScriptedOrigin) -> None:
        ok = b"HTTP/1.1 200 OK\r\n"
        rows = [
            (["http://nowhere.test/"], 6, "DNS_ERROR"),
            ([f"http://127.0.0.1:{refusing_port()}/"], 7, "CONNECTION_REFUSED"),
            ([origin.raw("/garbage", b"garbage\r\n\r\n")], 8, "HTTP_STATUS_LINE_INVALID"),
            (["http://10.0.0.1/"], 9, ""),
            (["ftp://127.0.0.1/"], 9, ""),
            ([origin.raw("/short", ok + b"content-length: 9\r\n\r\nabc")], 18, "HTTP_RESPONSE_INCOMPLETE"),
            ([origin.route("/never", lambda connection: connection.hold()), "-m", "0.3"], 28, "TOTAL_TIMEOUT"),
            ([nginx.url("/", "TLS_EXPIRED", host="localhost")], 60, "TLS_CERTIFICATE_ERROR"),
            ([nginx.url("/1k"), "--max-filesize", "10"], 63, "HTTP_RESPONSE_BODY_SIZE"),
            ([origin.raw("/nothing", b"")], 52, "CONNECTION_TERMINATED"),
            (["http://user@127.0.0.1/"], 3, "url"),
            ([nginx.url("/1k"), "-X", "TRACE"], 3, "method"),
            ([], 2, ""),
            (["--no-such-flag", "http://h/"], 2, "--no-such-flag"),
            ([nginx.url("/1k"), "-m", "soon"], 2, "soon"),
        ]
        for arguments, code, word in rows:
            done = fetchctl("get", "--retry", "0", *arguments)
            assert done.returncode == code, f"{arguments}: {done.returncode} {done.stderr}"
            assert word in done.stderr and done.stderr.startswith("fetchctl: ")

    def test_truncate(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        done = fetchctl("get", "--max-filesize", "3", "--truncate", nginx.url("/hello.txt"))
        assert (done.returncode, done.stdout) == (0, "hel")

    def test_no_fetchd_there(self, fetchctl: Fetchctl, nginx: Nginx) -> None:
        done = fetchctl("get", "--target", f"127.0.0.1:{refusing_port()}", "--deadline", "5", nginx.url("/1k"))
        assert done.returncode == 69
        assert "--target" in done.stderr

    def test_help_and_version(self, fetchctl: Fetchctl) -> None:
        assert "batch" in fetchctl("--help").stdout
        assert "--max-time" in fetchctl("get", "--help").stdout
        assert fetchctl("--version").stdout.startswith("fetchctl ")


class TestBatch:
    def test_lines(self, fetchctl: Fetchctl, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        dead = f"http://127.0.0.1:{refusing_port()}/"
        file = tmp_path / "urls"
        post = json.dumps({"url": nginx.url("/1k"), "method": "HEAD"})
        file.write_text(f"# a comment\n{nginx.url('/1k')}\n\n{dead}\n{nginx.url('/missing')}\n{post}\n")
        done = fetchctl("batch", "--retry", "0", "--in-order", str(file))
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        assert [line[:2] for line in lines] == [["0", "200"], ["1", "CONNECTION_REFUSED"], ["2", "404"], ["3", "200"]]
        assert [line[2] for line in lines][::3] == ["1024", "0"]
        assert done.returncode == 7
        assert "4 fetched, 1 failed" in done.stderr

    def test_standard_input_json_and_output_dir(self, fetchctl: Fetchctl, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        urls = "\n".join([nginx.url("/1k")] * 20)
        done = fetchctl("batch", "--json", "--output-dir", str(tmp_path / "out"), "-", stdin=urls)
        assert done.returncode == 0
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert sorted(result.get("index", 0) for result in results) == list(range(20))
        for i in range(20):
            assert (tmp_path / "out" / str(i)).read_bytes() == (nginx.root / "1k").read_bytes()

    def test_fail_fast(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        origin.raw("/broken", b"")
        origin.route("/held", lambda connection: connection.hold())
        urls = "\n".join([origin.url("/held"), origin.url("/broken"), origin.url("/held")])
        done = fetchctl("batch", "--fail-fast", "--retry", "0", "-", stdin=urls)
        assert done.returncode == 52
        assert "2 skipped" in done.stderr


class TestStream:
    def test_to_a_file(self, fetchctl: Fetchctl, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        size = (4 if SANITIZER else 64) * 1024 * 1024
        done = fetchctl("stream", nginx.sparse("down", size), "-o", str(tmp_path / "down"))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "down").stat().st_size == size

    def test_upload(self, fetchctl: Fetchctl, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        (tmp_path / "up").write_bytes(b"0123456789" * 500_000)
        done = fetchctl("stream", "-T", str(tmp_path / "up"), nginx.url("/upload/fetchctl"))
        assert done.returncode == 0, done.stderr
        assert (nginx.directory / "upload" / "fetchctl").read_bytes() == (tmp_path / "up").read_bytes()
        done = fetchctl("stream", "-T", "-", nginx.url("/upload/stdin"), stdin="from stdin")
        assert done.returncode == 0, done.stderr
        assert (nginx.directory / "upload" / "stdin").read_bytes() == b"from stdin"

    def test_cut_off(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        done = fetchctl("stream", origin.raw("/x", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"))
        assert (done.returncode, done.stdout) == (18, "abc")

    def test_json(self, fetchctl: Fetchctl, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        done = fetchctl("stream", "--json", nginx.url("/1k"), "-o", str(tmp_path / "x"))
        assert done.returncode == 0
        entry = json.loads(done.stdout)
        assert "1024" in json.dumps(entry)


class TestPaged:
    def test_items_as_ndjson(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        api = PagedApi(origin, total=1050, size=100)
        done = fetchctl("paged", "--items", "/data/items", origin.url("/link"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.encode().splitlines() == api.expected()

    @pytest.mark.parametrize(
        "path,flags",
        [
            ("/next", ["--next-url", "/paging/next"]),
            ("/cursor", ["--cursor", "/meta/cursor", "--cursor-param", "cursor"]),
            ("/header-cursor", ["--cursor-header", "x-next-cursor", "--cursor-param", "page_info"]),
            ("/offset", ["--offset-param", "skip", "--limit", "100", "--limit-param", "take"]),
            ("/numbered", ["--page-param", "page", "--page-size", "100"]),
        ],
    )
    def test_strategies(self, fetchctl: Fetchctl, origin: ScriptedOrigin, path: str, flags: List[str]) -> None:
        api = PagedApi(origin, total=250, size=100)
        done = fetchctl("paged", "--items", "/data/items", *flags, origin.url(path))
        assert done.returncode == 0, done.stderr
        assert done.stdout.encode().splitlines() == api.expected()

    def test_resume(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        api = PagedApi(origin, total=250, size=100)
        first = fetchctl("paged", "--items", "/data/items", "--max-items", "120", origin.url("/link"))
        assert first.returncode == 0
        assert first.stdout.encode().splitlines() == api.expected()[:120]
        token = first.stderr.split("--resume ")[1].split()[0]
        again = fetchctl(
            "paged", "--items", "/data/items", "--max-items", "120", "--resume", token, origin.url("/link")
        )
        assert again.stdout.encode().splitlines() == api.expected()[120:240]

    def test_pages(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        PagedApi(origin, total=250, size=100)
        done = fetchctl("paged", origin.url("/link"))
        assert [len(json.loads(line)["data"]["items"]) for line in done.stdout.splitlines()] == [100, 100, 50]

    def test_a_failed_page(self, fetchctl: Fetchctl, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b"no json"))
        assert fetchctl("paged", "--items", "/items", url).returncode == 8
        url = origin.route("/y", lambda connection: connection.reply(b"", 404))
        assert fetchctl("paged", "--items", "/items", url).returncode == 22


class TestHealth:
    def test_serving(self, fetchctl: Fetchctl) -> None:
        done = fetchctl("health")
        assert (done.returncode, done.stdout) == (0, "SERVING\n")
        assert json.loads(fetchctl("health", "--json").stdout) == {"status": "SERVING"}

    def test_not_serving_and_gone(self, fetchctl: Fetchctl, start_fetchd: Any) -> None:
        server: Fetchd = start_fetchd(drain={"pause": "60s", "deadline": "1s"})
        server.signal()
        wait_until(lambda: server.get("/readyz")[0] == 503, "it drains")
        done = fetchctl("health", "--target", server.target)
        assert (done.returncode, done.stdout) == (1, "NOT_SERVING\n")
        server.kill()
        assert fetchctl("health", "--target", server.target, "--deadline", "2").returncode == 69

    def test_tls(self, fetchctl: Fetchctl, start_fetchd: Any, certificates: Certificates) -> None:
        tls = {"cert_file": str(certificates.file("good.pem")), "key_file": str(certificates.file("good.key"))}
        server: Fetchd = start_fetchd(tls=tls)
        done = fetchctl("health", "--target", server.target, "--tls-ca", str(certificates.file("ca.pem")))
        assert (done.returncode, done.stdout) == (0, "SERVING\n"), done.stderr
        assert fetchctl("health", "--target", server.target, "--deadline", "2").returncode != 0


@pytest.mark.parametrize("command", ["get", "stream", "paged", "batch"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(fetchd: Fetchd, origin: ScriptedOrigin, command: str, number: int) -> None:
    url = origin.route("/never", lambda connection: connection.hold())
    process = subprocess.Popen(
        [str(FETCHCTL), command, "-" if command == "batch" else url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(fetchd),
    )
    try:
        assert process.stdin is not None
        if command == "batch":
            process.stdin.write(url + "\n")
        process.stdin.close()
        process.stdin = None
        wait_until(lambda: origin.count("/never") == 1, "the fetch is at the origin")
        process.send_signal(number)
        _, errors = process.communicate(timeout=20 * SLOWNESS)
        assert process.returncode == 128 + number
        assert "interrupted" in errors
        wait_until(lambda: origin.open_connections() == 0, "the exchange is aborted")
    finally:
        process.kill()
        process.wait()
    wait_until(fetchd.idle, "nothing is in flight or leased")


class TestSamples:
    @pytest.fixture
    def sample(self, fetchd: Fetchd) -> Callable[..., Done]:
        """Runs a sample with the server's address as its first argument."""

        def run(name: str, *arguments: str) -> Any:
            command = [str(BIN_DIR / "samples" / f"sample_{name}"), fetchd.target, *arguments]
            return subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)

        return run

    def test_get(self, sample: Any, nginx: Nginx) -> None:
        done = sample("get", nginx.url("/hello.txt"))
        assert done.returncode == 0 and done.stdout.startswith("HTTP 200\n") and done.stdout.endswith("\n\nhello\n")

    def test_batch(self, sample: Any, nginx: Nginx) -> None:
        done = sample("batch", nginx.url("/1k"), nginx.url("/missing"))
        assert done.returncode == 0
        assert sorted(line.rsplit(": ", 1)[1] for line in done.stdout.splitlines()) == ["HTTP 200", "HTTP 404"]

    def test_stream_to_file(self, sample: Any, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        done = sample("stream_to_file", nginx.sparse("sample", 10_000_000), str(tmp_path / "out"))
        assert done.returncode == 0 and "10000000 bytes" in done.stdout
        assert (tmp_path / "out").stat().st_size == 10_000_000

    def test_upload(self, sample: Any, nginx: Nginx, tmp_path: pathlib.Path) -> None:
        (tmp_path / "in").write_bytes(b"abc" * 1_000_000)
        done = sample("upload", nginx.url("/upload/sample"), str(tmp_path / "in"))
        assert done.returncode == 0 and "HTTP 201" in done.stdout
        assert (nginx.directory / "upload" / "sample").read_bytes() == b"abc" * 1_000_000

    def test_paged_items(self, sample: Any, origin: ScriptedOrigin) -> None:
        api = PagedApi(origin, total=250, size=100)
        done = sample("paged_items", origin.url("/link"), "/data/items")
        assert done.returncode == 0 and done.stdout.encode().splitlines() == api.expected()
        assert "250 items on 3 pages" in done.stderr

    def test_error_handling(self, sample: Any, nginx: Nginx) -> None:
        assert "HTTP 200 after 1 attempt(s)" in sample("error_handling", nginx.url("/1k")).stdout
        assert "the request is malformed" in sample("error_handling", "nonsense").stdout
        assert "does not fetch such URLs" in sample("error_handling", "http://10.0.0.1/").stdout
        done = sample("error_handling", f"http://127.0.0.1:{refusing_port()}/")
        assert "CONNECTION_REFUSED" in done.stdout and "the origin has not acted on it" in done.stdout


def test_quickstart_builds_against_the_installed_sdk(fetchd: Fetchd, nginx: Nginx) -> None:
    if SANITIZER:
        pytest.skip("the installed package is built without sanitizers; the release and dev builds test it")
    script = ROOT / "client_sdk" / "quickstart" / "build_installed.sh"
    build = os.environ["FETCHD_BUILD_DIR"]
    done = subprocess.run(
        [str(script), build, fetchd.target, nginx.url("/1k")], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HTTP 200, 1024 bytes" in done.stdout

"""A Node.js caller, with @grpc/grpc-js."""

import json
import os
import pathlib
import shutil
import subprocess
from typing import Any, Callable

import pytest
from paged_api import PagedApi
from readme import example
from real_origins import Nginx, refusing_port
from scripted_origin import ScriptedOrigin
from server_process import Fetchd
from waiting import SLOWNESS, wait_until

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE / "node_client"
PROTO = HERE.parents[1] / "proto"

Node = Callable[..., Any]


@pytest.fixture(scope="session")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The client with its packages, installed in the build directory when the lock file has changed."""
    build = os.environ.get("FETCHD_BUILD_DIR")
    place = pathlib.Path(build) / "tests" / "integration" if build else tmp_path_factory.mktemp("node")
    client = place / "node_client"
    client.mkdir(parents=True, exist_ok=True)
    shutil.copy(SOURCE / "client.js", client)
    stamp = client / "installed"
    lock = (SOURCE / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, client)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=client, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(lock)
    return client


@pytest.fixture
def node(node_client: pathlib.Path, fetchd: Fetchd) -> Node:
    """Runs a command of client.js."""

    def run(command: str, **more: Any) -> Any:
        argument = json.dumps({"target": fetchd.target, "proto": str(PROTO), **more})
        done = subprocess.run(
            ["node", str(node_client / "client.js"), command, argument],
            capture_output=True,
            text=True,
            timeout=90 * SLOWNESS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_fetch(node: Node, nginx: Nginx) -> None:
    reply = node("fetch", request={"url": nginx.url("/hello.txt")})
    assert (reply["outcome"], reply["response"]["status"], reply["response"]["body"]) == ("response", 200, "hello\n")
    assert ["content-length", "6"] in reply["response"]["headers"]
    assert reply["attempts"] == 1 and reply["fetch_id"]


def test_error_in_band(node: Node) -> None:
    reply = node("fetch", request={"url": f"http://127.0.0.1:{refusing_port()}/", "retry": {"max_attempts": 1}})
    assert (reply["outcome"], reply["error"]["code"]) == ("error", "CONNECTION_REFUSED")
    assert (reply["error"]["phase"], reply["error"]["processed"]) == ("PHASE_CONNECT", "PROCESSED_NO")


def test_status_details(node: Node) -> None:
    failure = node("fetch", request={"url": "nonsense", "method": "a b"})
    assert failure["code"] == "INVALID_ARGUMENT"
    violations = failure["details"]["google.rpc.BadRequest"]["field_violations"]
    assert {violation["field"] for violation in violations} == {"url", "method"}
    assert failure["details"]["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"
    failure = node("fetch", request={"url": "http://10.0.0.1/"})
    assert failure["code"] == "PERMISSION_DENIED"
    assert failure["details"]["google.rpc.ErrorInfo"]["reason"] == "URL_FORBIDDEN"


def test_batch(node: Node, nginx: Nginx) -> None:
    urls = [nginx.url("/1k"), nginx.url("/missing"), f"http://127.0.0.1:{refusing_port()}/"] * 10
    requests = [{"url": url, "retry": {"max_attempts": 1}} for url in urls]
    results = sorted(node("batch", request={"requests": requests}), key=lambda result: result["index"])
    assert [result["index"] for result in results] == list(range(30))
    assert [result["outcome"] for result in results] == [200, 404, "CONNECTION_REFUSED"] * 10


def test_stream_down(node: Node, nginx: Nginx) -> None:
    size = 32 * 1024 * 1024
    result = node("stream", request={"url": nginx.sparse("32m", size)}, chunks=0)
    assert result["kinds"] == ["head", "chunk", "tail"]
    assert result["bytes"] == size == int(result["tail"]["body_bytes"])
    assert result["tail"]["error"] is None and result["head"]["status"] == 200


def test_stream_up(node: Node, nginx: Nginx) -> None:
    request = {"url": nginx.url("/upload/node"), "method": "PUT"}
    result = node("stream", request=request, chunks=100, size=100_000)
    assert result["head"]["status"] == 201
    assert (nginx.directory / "upload" / "node").read_bytes() == b"n" * 10_000_000


def test_paged(node: Node, origin: ScriptedOrigin) -> None:
    api = PagedApi(origin, total=550, size=100)
    request = {
        "request": {"url": origin.url("/cursor")},
        "cursor": {"pointer": "/meta/cursor", "param": "cursor"},
        "items": "/data/items",
        "unit": "UNIT_ITEM",
    }
    result = node("paged", request=request)
    assert [item.encode() for item in result["items"]] == api.expected()
    assert (result["end"]["reason"], result["end"]["pages"], result["end"]["items"]) == ("REASON_LAST_PAGE", "6", "550")


def test_cancel(node: Node, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
    url = origin.raw("/x", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "hold")
    assert node("cancel", request={"url": url}) == {"code": "CANCELLED"}
    wait_until(lambda: origin.open_connections() == 0, "the connection is closed")
    wait_until(fetchd.idle, "nothing is in flight or leased")


def test_the_readme_example_prints_a_response(node_client: pathlib.Path, fetchd: Fetchd, nginx: Nginx) -> None:
    environment = {**os.environ, "NODE_PATH": str(node_client / "node_modules")}
    command = ["node", "-e", example("js", fetchd.target, nginx.url("/1k"))]
    done = subprocess.run(command, cwd=PROTO.parent, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "200 1024 bytes\n"), done.stderr


@pytest.mark.parametrize(
    "body",
    [
        {"form": [{"name": "a b", "value": "\u00e9"}]},
        {"json": '{"n": 1.0}'},
        {"multipart": {"parts": [{"name": "f", "filename": "f.txt", "data": "eA=="}]}},
    ],
)
def test_kinds_of_bodies(node: Node, origin: ScriptedOrigin, body: Any) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b"ok"))
    assert node("fetch", request={"url": url, **body})["response"]["status"] == 200
    request = origin.requests[-1]
    assert request.method == "POST"
    if "form" in body:
        assert request.body == b"a+b=%C3%A9"
    elif "json" in body:
        assert request.body == b'{"n": 1.0}'
    else:
        assert b'name="f"; filename="f.txt"' in request.body and b"\r\n\r\nx\r\n--" in request.body

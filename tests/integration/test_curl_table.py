"""curl as the reference: well-formed exchanges through fetchd and through /usr/bin/curl, which must bring the same."""

import collections
import concurrent.futures
import dataclasses
import pathlib
import ssl
import subprocess
from typing import Any, Dict, Iterator, List, Tuple

import grpc
import pytest
from calls import Client, fetch_request, headers_of, response_of
from curl_scenarios import SCENARIOS, Scenario
from fetchd.v1 import fetch_pb2 as pb
from real_origins import Certificates
from scripted_origin import Connection, Request, ScriptedOrigin

Headers = List[Tuple[str, bytes]]

# Response fields that say when, or on which connection: `date` is a time; the two of nginx count connections and requests.
RESPONSE_FIELDS_THAT_DIFFER = {"date", "x-connection", "x-request-number"}
# Request fields that each client has its own of: its name; and codings it can decode, which curl says only if told to.
REQUEST_FIELDS_THAT_DIFFER = {"user-agent", "accept-encoding"}


@dataclasses.dataclass
class Seen:
    """What came of a scenario."""

    status: int
    headers: Dict[str, List[bytes]]
    trailers: Dict[str, List[bytes]]
    body: bytes


def by_name(headers: Headers, without: Any = ()) -> Dict[str, List[bytes]]:
    """Values of each field in their order; that of different fields among each other means nothing (RFC 9110, 5.3)."""
    found: Dict[str, List[bytes]] = collections.defaultdict(list)
    for name, value in headers:
        if name not in without:
            found[name].append(value)
    return dict(found)


def fields(lines: List[bytes]) -> Headers:
    """Header lines as pairs."""
    pairs = [line.partition(b":") for line in lines]
    return [(name.decode("latin-1").lower(), value.strip(b" \t")) for name, _, value in pairs]


def by_curl(scenario: Scenario, url: str, directory: pathlib.Path, certificates: Certificates) -> Seen:
    """The scenario through curl."""
    head, body = directory / f"{scenario.name}.head", directory / f"{scenario.name}.body"
    command: List[Any] = ["/usr/bin/curl", "--silent", "--show-error", "--disable", "--noproxy", "*", "--max-time", "60"]
    command += ["--path-as-is", "--globoff", "--dump-header", head, "--output", body]
    command += ["--cacert", certificates.file("ca.pem")]
    command += {"H2C": ["--http2-prior-knowledge"], "TLS_HTTP_2": ["--http2"]}.get(scenario.port, ["--http1.1"])
    if scenario.follow:
        # -X would be the method of each hop; --data-binary means POST by itself.
        command += ["--location"]
        assert scenario.method in ("GET", "POST")
    elif scenario.decode:
        command += ["--compressed"]
    elif scenario.method == "HEAD":
        command += ["--head"]
    else:
        command += ["--request", scenario.method]
    # Nothing of its own but its name.
    command += ["--header", "Expect:"]
    if scenario.body is not None:
        command += ["--data-binary", "@-"]
        if "content-type" not in dict(scenario.headers):
            command += ["--header", "Content-Type:"]
    for name, value in scenario.headers:
        command += ["--header", name.encode() + (b": " + value if value else b";")]
    done = subprocess.run([*command, url], input=scenario.body or b"", capture_output=True, check=False)
    assert done.returncode == 0, f"curl ended with {done.returncode}: {done.stderr.decode()}"
    blocks = [block.split(b"\r\n") for block in head.read_bytes().split(b"\r\n\r\n") if block.strip()]
    last = max(at for at, block in enumerate(blocks) if block[0].startswith(b"HTTP/"))
    trailers = [line for block in blocks[last + 1 :] for line in block if line]
    return Seen(
        int(blocks[last][0].split(b" ")[1]),
        by_name(fields(blocks[last][1:]), RESPONSE_FIELDS_THAT_DIFFER),
        by_name(fields(trailers)),
        # With --head it writes the head there.
        body.read_bytes() if body.exists() and scenario.method != "HEAD" else b"",
    )


def by_fetchd(scenario: Scenario, url: str, client: Client) -> Seen:
    """The scenario through fetchd."""
    request = fetch_request(url, scenario.method, scenario.headers, scenario.body or b"", attempts=1)
    if scenario.port == "H2C":
        request.transport.http_version = pb.HTTP_VERSION_HTTP_2
    if scenario.follow:
        request.redirects.mode = pb.RedirectPolicy.MODE_FOLLOW
    reply = client.fetch(request)
    assert reply.WhichOneof("outcome") == "response", f"no response: {reply.error}"
    response = response_of(reply, reply.response.status)
    return Seen(
        response.status,
        by_name(headers_of(response), RESPONSE_FIELDS_THAT_DIFFER),
        by_name([(field.name, field.value) for field in response.trailers]),
        response.body,
    )


class Table:
    """All scenarios, run once; what each client saw, or why it saw nothing."""

    def __init__(self) -> None:
        self.seen: Dict[Tuple[str, str], Any] = {}
        self.received: Dict[Tuple[str, str], List[Request]] = collections.defaultdict(list)


def answer(scenario: Scenario) -> Any:
    """The script of a scenario."""

    def script(connection: Connection) -> None:
        assert scenario.reply is not None
        connection.send(scenario.reply)
        if scenario.then == "close":
            connection.close()

    return script


@pytest.fixture(scope="module")
def table(
    request: pytest.FixtureRequest,
    start_fetchd: Any,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Table]:
    """Runs them all, some at once: each request names its client."""
    # Many of the statuses are failures to a breaker.
    client = Client(start_fetchd(breaker={"enabled": False}).channel())
    directory = tmp_path_factory.mktemp("curl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.file("good.pem"), certificates.file("good.key"))
    scripted = {"scripted": ScriptedOrigin(), "scripted_tls": ScriptedOrigin(tls=context)}
    result = Table()

    def url_of(scenario: Scenario) -> str:
        if scenario.server not in scripted:
            return request.getfixturevalue(scenario.server).url(scenario.path, scenario.port)
        origin = scripted[scenario.server]
        origin.route(scenario.path.split("?")[0], answer(scenario))
        return origin.url(scenario.path)

    def run(scenario: Scenario, url: str) -> None:
        # One after the other: the second of two PUTs would answer otherwise than the first, but for that they are alike.
        for who in ("curl", "fetchd"):
            try:
                seen = by_curl(scenario, url, directory, certificates) if who == "curl" else by_fetchd(scenario, url, client)
                result.seen[scenario.name, who] = seen
            except (AssertionError, grpc.RpcError) as error:
                result.seen[scenario.name, who] = str(error)

    urls = {scenario: url_of(scenario) for scenario in SCENARIOS}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(run, scenario, url) for scenario, url in urls.items()]:
            done.result()
    for name, origin in scripted.items():
        for received in origin.requests:
            agent = received.header("user-agent") or b""
            who = agent.partition(b"/")[0].decode()
            result.received[name + received.target, who].append(received)
        origin.stop()
    yield result


def test_the_table_is_large_and_its_names_are_unique() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names) >= 100


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario(table: Table, scenario: Scenario) -> None:
    curl, fetchd = table.seen[scenario.name, "curl"], table.seen[scenario.name, "fetchd"]
    assert isinstance(curl, Seen), curl
    assert isinstance(fetchd, Seen), fetchd
    assert fetchd.status == curl.status
    if scenario.decode:
        # curl shows them although they are not of the body that it gives.
        for name in ("content-encoding", "content-length"):
            curl.headers.pop(name, None)
            fetchd.headers.pop(name, None)
    assert fetchd.headers == curl.headers
    # curl 7.88 does not show trailers of HTTP/2; test_real_servers.py has them.
    if scenario.port not in ("H2C", "TLS_HTTP_2"):
        assert fetchd.trailers == curl.trailers
    assert fetchd.body == curl.body


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.reply is not None], ids=str)
def test_what_the_origin_received(table: Table, scenario: Scenario) -> None:
    got = [table.received[scenario.server + scenario.path, who] for who in ("curl", "fetchd")]
    assert [len(requests) for requests in got] == [1, 1]
    (curl,), (fetchd,) = got
    assert (fetchd.method, fetchd.target, fetchd.body) == (curl.method, curl.target, curl.body)
    assert (fetchd.method, fetchd.target) == (scenario.method, scenario.path)
    headers = [
        by_name([(name.decode().lower(), value) for name, value in one.headers], REQUEST_FIELDS_THAT_DIFFER)
        for one in (curl, fetchd)
    ]
    assert headers[1] == headers[0]

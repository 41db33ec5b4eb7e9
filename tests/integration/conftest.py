"""Fixtures: origins and servers, each started when the first test of a file asks for it and ended with the file."""

import itertools
import os
import pathlib
import sys
from typing import Any, Callable, Dict, Iterator

import pytest

HERE = pathlib.Path(__file__).resolve().parent
STUBS = os.environ.get("FETCHD_PYTHON_STUBS")
if not STUBS:
    raise pytest.UsageError("run these tests by ctest -L integration, or set FETCHD_PYTHON_STUBS and FETCHD_BIN_DIR")
sys.path[:0] = [str(HERE), str(HERE.parent / "support" / "origins"), STUBS]
# The origins of the tests are on loopback; no proxy leads there.
for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "grpc_proxy"):
    os.environ.pop(name, None)

from calls import Client  # noqa: E402
from dns_server import DnsServer  # noqa: E402
from real_origins import Certificates, Httpbin, Nginx  # noqa: E402
from scripted_origin import ScriptedOrigin  # noqa: E402
from server_process import Fetchd, merged  # noqa: E402
from waiting import wait_until  # noqa: E402
from web_servers import Apache, Nghttpd, write_files  # noqa: E402

StartFetchd = Callable[..., Fetchd]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The test CA."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Nginx]:
    """nginx."""
    server = Nginx(tmp_path_factory.mktemp("nginx"), certificates).start()
    write_files(server.root)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def apache(certificates: Certificates) -> Iterator[Apache]:
    """Apache httpd."""
    server = Apache(certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nghttpd(certificates: Certificates) -> Iterator[Nghttpd]:
    """nghttpd."""
    server = Nghttpd(certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Httpbin]:
    """httpbin."""
    server = Httpbin(tmp_path_factory.mktemp("httpbin"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dns() -> Iterator[DnsServer]:
    """A DNS server; the default fetchd asks it alone."""
    server = DnsServer()
    server.names["origin.test"] = ["127.0.0.1"]
    yield server
    server.stop()


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    """A scripted origin of the test's own."""
    server = ScriptedOrigin()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def base_config(certificates: Certificates, dns: DnsServer) -> Dict[str, Any]:
    """What servers of these tests have in common: they may fetch from loopback and trust the test CA."""
    return {
        "guard": {"allow_cidrs": ["127.0.0.0/8", "::1/128"]},
        "upstream_tls": {"ca_file": str(certificates.file("ca.pem"))},
        "dns": {"servers": [dns.address]},
        "engine": {"threads": 2},
        "drain": {"pause": "0s", "deadline": "5s"},
    }


@pytest.fixture(scope="session")
def start_fetchd(tmp_path_factory: pytest.TempPathFactory, base_config: Dict[str, Any]) -> Iterator[StartFetchd]:
    """Starts servers with sections of the config added or replaced; each is ended, and must end well, with the file."""
    servers = []
    numbers = itertools.count(1)

    def start(**config: Any) -> Fetchd:
        server = Fetchd(tmp_path_factory.mktemp(f"fetchd{next(numbers)}_"), merged(base_config, config))
        servers.append(server.start())
        return server

    yield start
    problems = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="session")
def fetchd(start_fetchd: StartFetchd) -> Fetchd:
    """The server most tests of a file share."""
    return start_fetchd()


@pytest.fixture(scope="session")
def client(fetchd: Fetchd) -> Client:
    """Calls the shared server."""
    return Client(fetchd.channel())


@pytest.fixture
def quiet(fetchd: Fetchd) -> Iterator[None]:
    """Checks that the test left nothing in flight and nothing leased behind."""
    yield
    wait_until(fetchd.idle, "nothing is in flight or leased")

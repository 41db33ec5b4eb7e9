"""Malformed requests and configs: each is refused with a message that names the field or key, and reaches nobody."""

import pathlib
import re
import subprocess
from typing import Any, Dict, List, Tuple

import grpc
import pytest
from calls import Client, as_request, status_details, violations
from dns_server import DnsServer
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from google.protobuf import duration_pb2
from real_origins import Certificates
from scripted_origin import ScriptedOrigin
from server_process import FETCHD, Fetchd

# In a URL or header stands for the port of an origin that must see nothing.
PORT = "4711"
URL = f"http://127.0.0.1:{PORT}/"

BAD_URLS: List[Tuple[str, str]] = [
    ("missing", ""),
    ("no_scheme", f"127.0.0.1:{PORT}/"),
    ("relative", "/path"),
    ("scheme_only", "http://"),
    ("no_slashes", f"http:127.0.0.1:{PORT}/"),
    ("blank", f"http://127.0.0.1:{PORT}/a b"),
    ("leading_blank", f" http://127.0.0.1:{PORT}/"),
    ("trailing_line_end", f"http://127.0.0.1:{PORT}/\r\n"),
    ("header_injection", f"http://127.0.0.1:{PORT}/ HTTP/1.1\r\nx: y"),
    ("tab", f"http://127.0.0.1:{PORT}/\t"),
    ("nul", f"http://127.0.0.1:{PORT}/\0"),
    ("user_info", f"http://user:secret@127.0.0.1:{PORT}/"),
    ("empty_user_info", f"http://@127.0.0.1:{PORT}/"),
    ("non_ascii_path", f"http://127.0.0.1:{PORT}/é"),
    ("non_ascii_host", f"http://bücher.test:{PORT}/"),
    ("bad_escape", f"http://127.0.0.1:{PORT}/%zz"),
    ("escape_in_host", f"http://127.0.0.1%2e:{PORT}/"),
    ("port_0", "http://127.0.0.1:0/"),
    ("port_too_large", "http://127.0.0.1:65536/"),
    ("port_negative", "http://127.0.0.1:-1/"),
    ("port_word", "http://127.0.0.1:http/"),
    ("ipv4_short", f"http://127.1:{PORT}/"),
    ("ipv4_number", f"http://2130706433:{PORT}/"),
    ("ipv4_hex", f"http://0x7f000001:{PORT}/"),
    ("ipv4_octal", f"http://0177.0.0.1:{PORT}/"),
    ("ipv4_too_large", f"http://127.0.0.256:{PORT}/"),
    ("ipv6_without_brackets", f"http://::1:{PORT}/"),
    ("ipv6_zone", f"http://[fe80::1%25lo]:{PORT}/"),
    ("ipv6_unclosed", f"http://[::1:{PORT}/"),
    ("host_with_empty_label", f"http://a..test:{PORT}/"),
    ("host_with_hyphen_in_front", f"http://-a.test:{PORT}/"),
    ("host_label_too_long", f"http://{'a' * 64}.test:{PORT}/"),
    ("host_too_long", f"http://{'a.' * 127}test:{PORT}/"),
    ("backslash", f"http://127.0.0.1:{PORT}\\@elsewhere.test/"),
    ("too_long", f"http://127.0.0.1:{PORT}/{'x' * 8192}"),
]

FORBIDDEN_URLS: List[Tuple[str, str]] = [
    ("ftp", f"ftp://127.0.0.1:{PORT}/"),
    ("file", "file:///etc/passwd"),
    ("gopher", f"gopher://127.0.0.1:{PORT}/_x"),
    ("ws", f"ws://127.0.0.1:{PORT}/"),
    ("private_v4", "http://10.0.0.1/"),
    ("metadata_service", "http://169.254.169.254/latest/meta-data/"),
    ("unspecified", "http://0.0.0.0/"),
    ("unique_local_v6", "http://[fd00::1]/"),
    ("mapped_v4", "http://[::ffff:10.0.0.1]/"),
    ("smtp_port", "http://127.0.0.1:25/"),
]


def header(name: str, value: bytes = b"x") -> Dict[str, Any]:
    return {"headers": [(name, value)]}


BAD_REQUESTS: List[Tuple[str, Dict[str, Any], str]] = [
    ("method_with_blank", {"method": "GET /"}, "method"),
    ("method_with_line_end", {"method": "GET\r\nx: y"}, "method"),
    ("method_not_ascii", {"method": "GÉT"}, "method"),
    ("method_too_long", {"method": "M" * 33}, "method"),
    ("connect", {"method": "CONNECT"}, "method"),
    ("trace", {"method": "TRACE"}, "method"),
    ("header_name_empty", header(""), "headers[0].name"),
    ("header_name_with_colon", header("x:"), "headers[0].name"),
    ("header_name_with_blank", header("x y"), "headers[0].name"),
    ("header_name_with_line_end", header("x\r\ny"), "headers[0].name"),
    ("header_name_not_ascii", header("é"), "headers[0].name"),
    ("header_name_too_long", header("x" * 257), "headers[0].name"),
    ("header_pseudo", header(":path"), "headers[0].name"),
    ("header_value_with_cr", header("x", b"a\rb"), "headers[0].value"),
    ("header_value_with_lf", header("x", b"a\nhost: evil"), "headers[0].value"),
    ("header_value_with_nul", header("x", b"a\0b"), "headers[0].value"),
    ("header_value_leading_blank", header("x", b" a"), "headers[0].value"),
    ("header_value_trailing_tab", header("x", b"a\t"), "headers[0].value"),
    ("header_value_too_long", header("x", b"y" * (16 * 1024 + 1)), "headers[0].value"),
    ("second_header", {"headers": [("x", b"y"), ("a b", b"c")]}, "headers[1].name"),
    ("too_many_headers", {"headers": [(f"x{i}", b"y") for i in range(257)]}, "headers"),
    ("headers_too_big", {"headers": [(f"x{i}", b"y" * 16_000) for i in range(5)]}, "headers"),
    ("too_many_attempts", {"attempts": 11}, "retry.max_attempts"),
]
BAD_REQUESTS += [
    (f"header_{name}", header(name), "headers[0].name")
    for name in [
        *("Host", "content-length", "Transfer-Encoding", "connection", "keep-alive", "proxy-connection"),
        *("te", "trailer", "upgrade", "expect"),
    ]
]
BAD_REQUESTS += [
    (f"negative_{name}", {name: -1.5}, f"timeouts.{name}")
    for name in ["total", "attempt", "queue", "dns", "connect", "tls", "send_idle", "first_byte", "between_bytes"]
]


def with_field(**fields: Any) -> pb.FetchRequest:
    return pb.FetchRequest(url=URL, **fields)


BAD_MESSAGES: List[Tuple[str, pb.FetchRequest, str]] = [
    (
        "duration_out_of_range",
        with_field(timeouts=pb.Timeouts(total=duration_pb2.Duration(seconds=2**60))),
        "timeouts.total",
    ),
    (
        "duration_with_mixed_signs",
        with_field(timeouts=pb.Timeouts(dns=duration_pb2.Duration(seconds=1, nanos=-1))),
        "timeouts.dns",
    ),
    (
        "negative_backoff",
        with_field(retry=pb.RetryPolicy(initial_backoff=duration_pb2.Duration(seconds=-1))),
        "retry.initial_backoff",
    ),
    (
        "negative_max_backoff",
        with_field(retry=pb.RetryPolicy(max_backoff=duration_pb2.Duration(nanos=-1))),
        "retry.max_backoff",
    ),
    ("unknown_overflow", with_field(body_policy=pb.BodyPolicy(on_overflow=77)), "body_policy.on_overflow"),  # type: ignore
]

Paged = service_pb.FetchPagedRequest
LINK = {"link_header": service_pb.LinkHeaderStrategy()}
BAD_PAGED: List[Tuple[str, Dict[str, Any], str]] = [
    ("no_strategy", {}, "strategy"),
    ("bad_url", {"request": pb.FetchRequest(url="x"), **LINK}, "request.url"),
    ("no_request", {"request": None, **LINK}, "request.url"),
    ("next_url_without_pointer", {"next_url": service_pb.NextUrlStrategy()}, "next_url.pointer"),
    ("next_url_bad_pointer", {"next_url": service_pb.NextUrlStrategy(pointer="a/b")}, "next_url.pointer"),
    ("pointer_bad_escape", {"next_url": service_pb.NextUrlStrategy(pointer="/a~2")}, "next_url.pointer"),
    ("cursor_without_source", {"cursor": service_pb.CursorStrategy(param="c")}, "cursor.source"),
    ("cursor_without_param", {"cursor": service_pb.CursorStrategy(pointer="/c")}, "cursor.param"),
    ("cursor_bad_header", {"cursor": service_pb.CursorStrategy(header="a b", param="c")}, "cursor.header"),
    ("offset_without_param", {"offset": service_pb.OffsetStrategy(), "items": ""}, "offset.param"),
    ("offset_without_items", {"offset": service_pb.OffsetStrategy(param="o")}, "items"),
    ("page_number_without_param", {"page_number": service_pb.PageNumberStrategy(), "items": ""}, "page_number.param"),
    ("page_number_without_items", {"page_number": service_pb.PageNumberStrategy(param="p")}, "items"),
    ("items_unit_without_items", {"unit": Paged.UNIT_ITEM, **LINK}, "items"),
    ("max_items_without_items", {"max_items": 3, **LINK}, "items"),
    ("items_bad_pointer", {"items": "data", **LINK}, "items"),
    ("unknown_unit", {"unit": 9, **LINK}, "unit"),
    ("garbage_token", {"resume_token": b"garbage", **LINK}, "resume_token"),
]


@pytest.fixture(scope="module")
def nobody() -> Any:
    """An origin that must not be reached."""
    server = ScriptedOrigin()
    yield server
    assert server.accepted == 0
    server.stop()


@pytest.fixture(autouse=True)
def reaches_nobody(nobody: ScriptedOrigin, fetchd: Fetchd, dns: DnsServer) -> Any:
    """Checks that a test causes no look-up and no connection."""
    names, opened = len(dns.queries), fetchd.metric("fetchd_connections_opened_total")
    yield
    assert nobody.accepted == 0
    assert len(dns.queries) == names
    assert fetchd.metric("fetchd_connections_opened_total") == opened


def here(text: str, nobody: ScriptedOrigin) -> str:
    return text.replace(PORT, str(nobody.port))


def names(rows: List[Any]) -> List[str]:
    return [row[0] for row in rows]


@pytest.mark.parametrize("name,url", BAD_URLS, ids=names(BAD_URLS))
def test_bad_url(client: Client, nobody: ScriptedOrigin, name: str, url: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(here(url, nobody))
    assert list(violations(caught.value)) == ["url"]
    assert "secret" not in caught.value.details()


@pytest.mark.parametrize("name,url", FORBIDDEN_URLS, ids=names(FORBIDDEN_URLS))
def test_forbidden_url(client: Client, nobody: ScriptedOrigin, name: str, url: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(here(url, nobody))
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert status_details(caught.value)["ErrorInfo"].reason == "URL_FORBIDDEN"
    assert "url" in caught.value.details()


@pytest.mark.parametrize("name,fields,path", BAD_REQUESTS, ids=names(BAD_REQUESTS))
def test_bad_request(client: Client, nobody: ScriptedOrigin, name: str, fields: Dict[str, Any], path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(nobody.url("/"), **fields)
    assert list(violations(caught.value)) == [path]
    assert path in caught.value.details()


@pytest.mark.parametrize("name,request_,path", BAD_MESSAGES, ids=names(BAD_MESSAGES))
def test_bad_message(client: Client, nobody: ScriptedOrigin, name: str, request_: pb.FetchRequest, path: str) -> None:
    request = pb.FetchRequest()
    request.CopyFrom(request_)
    request.url = here(request.url, nobody)
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(request)
    assert list(violations(caught.value)) == [path]


@pytest.mark.parametrize("name,fields,path", BAD_PAGED, ids=names(BAD_PAGED))
def test_bad_paged_request(client: Client, nobody: ScriptedOrigin, name: str, fields: Dict[str, Any], path: str):
    request = Paged(request=as_request(nobody.url("/")))
    if "request" in fields:
        request.ClearField("request")
    fields = {key: value for key, value in fields.items() if value is not None}
    request.MergeFrom(Paged(**fields))
    with pytest.raises(grpc.RpcError) as caught:
        list(client.stub.FetchPaged(request, timeout=30))
    assert path in violations(caught.value)


def test_all_violations_are_named(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch("nonsense", method="a b", headers=[("x", b"\0"), ("host", b"y")], attempts=99, dns=-1)
    assert set(violations(caught.value)) == {
        *("url", "method", "headers[0].value", "headers[1].name", "retry.max_attempts", "timeouts.dns"),
    }


def test_many_violations_fit_into_the_trailers(client: Client, nobody: ScriptedOrigin) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(nobody.url("/"), headers=[("bad name", b"\0")] * 256)
    found = violations(caught.value)
    assert "headers[0].name" in found


@pytest.mark.parametrize("order,mode,path", [(9, 0, "order"), (0, 9, "failure_mode")])
def test_bad_batch(client: Client, nobody: ScriptedOrigin, order: int, mode: int, path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(client.batch([nobody.url("/")], order=order, failure_mode=mode))
    assert list(violations(caught.value)) == [path]


@pytest.mark.parametrize("caller", ["", "a b", "x" * 65, "a/b"])
def test_bad_caller_name(client: Client, nobody: ScriptedOrigin, caller: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        Client(client.channel, caller).fetch(nobody.url("/"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "fetchd-caller" in caught.value.details()


def test_garbage_instead_of_a_message(client: Client) -> None:
    call = client.channel.unary_unary("/fetchd.v1.FetchService/Fetch")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff", timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert list(violations(caught.value)) == ["message"]


def test_message_over_4_mib(client: Client, nobody: ScriptedOrigin) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(nobody.url("/"), method="POST", body=b"x" * (4 * 1024 * 1024 + 1))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_unknown_method(client: Client) -> None:
    call = client.channel.unary_unary("/fetchd.v1.FetchService/Guess")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


# Text, the line that is wrong, the key, and a word the message must have. @DIR@ is a directory with certificates.
BAD_CONFIGS: List[Tuple[str, str, int, str, str]] = [
    ("unknown_key", "pool:\n  max_conections: 5\n", 2, "pool.max_conections", "max_connections"),
    ("unknown_section", "pools:\n  idle_timeout: 5s\n", 1, "pools", "pool"),
    ("repeated_key", "pool:\n  idle_timeout: 5s\n  idle_timeout: 6s\n", 3, "pool.idle_timeout", "second"),
    ("section_is_a_value", "pool: 5\n", 1, "pool", "mapping"),
    ("section_is_a_list", "pool:\n  - idle_timeout: 5s\n", 2, "pool", "mapping"),
    ("value_is_a_section", "engine:\n  threads:\n    count: 2\n", 3, "engine.threads", "number"),
    ("not_a_number", "engine:\n  threads: many\n", 2, "engine.threads", "many"),
    ("number_too_large", "engine:\n  threads: 65\n", 2, "engine.threads", "64"),
    ("number_negative", "engine:\n  threads: -1\n", 2, "engine.threads", "-1"),
    ("number_fraction", "engine:\n  threads: 1.5\n", 2, "engine.threads", "1.5"),
    ("number_out_of_range", "engine:\n  threads: 99999999999999999999\n", 2, "engine.threads", ""),
    ("number_too_small", "pool:\n  max_connections: 0\n", 2, "pool.max_connections", "1"),
    ("duration_without_unit", "pool:\n  idle_timeout: 5\n", 2, "pool.idle_timeout", "duration"),
    ("duration_unknown_unit", "pool:\n  idle_timeout: 5 parsecs\n", 2, "pool.idle_timeout", "duration"),
    ("duration_negative", "pool:\n  idle_timeout: -5s\n", 2, "pool.idle_timeout", "duration"),
    ("duration_too_long", "pool:\n  idle_timeout: 2h\n", 2, "pool.idle_timeout", "1h"),
    ("duration_too_short", "pool:\n  idle_timeout: 1ms\n", 2, "pool.idle_timeout", "1s"),
    ("size_without_sense", "limits:\n  max_unary_body_bytes: big\n", 2, "limits.max_unary_body_bytes", "KiB"),
    ("size_too_large", "limits:\n  max_unary_body_bytes: 1GiB\n", 2, "limits.max_unary_body_bytes", "64MiB"),
    ("not_a_boolean", "insecure_listen_anywhere: perhaps\n", 1, "insecure_listen_anywhere", "true"),
    ("not_of_the_enum", "log:\n  level: loud\n", 2, "log.level", "debug"),
    ("list_expected", "listen: 127.0.0.1:1\n", 1, "listen", "list"),
    ("listen_without_port", "listen: [127.0.0.1]\n", 1, "listen[0]", "127.0.0.1"),
    ("listen_by_name", 'listen: ["localhost:50051"]\n', 1, "listen[0]", "localhost"),
    ("listen_anywhere_without_tls", 'listen: ["0.0.0.0:0"]\n', 1, "listen", "tls"),
    ("listen_twice", 'listen: ["127.0.0.1:5", "127.0.0.1:5"]\n', 1, "listen[1]", "twice"),
    ("cidr_with_host_bits", "guard:\n  allow_cidrs:\n    - 10.0.0.0/8\n    - 10.1.2.3/8\n", 4, "guard.allow_cidrs[1]", ""),
    ("cidr_no_address", "guard:\n  allow_cidrs: [everything]\n", 2, "guard.allow_cidrs[0]", "everything"),
    ("cidr_too_long", "guard:\n  deny_cidrs: [10.0.0.0/33]\n", 2, "guard.deny_cidrs[0]", "10.0.0.0/33"),
    ("dns_server_by_name", "dns:\n  servers: [dns.test]\n", 2, "dns.servers[0]", "dns.test"),
    ("contradiction", "dns:\n  min_ttl: 10m\n  max_ttl: 5m\n", 2, "dns.min_ttl", "dns.max_ttl"),
    ("default_above_cap", "timeouts:\n  cap:\n    dns: 1s\n", 3, "timeouts.cap.dns", "timeouts.default.dns"),
    ("key_without_certificate", "tls:\n  key_file: @DIR@/good.key\n", 2, "tls.key_file", "tls.cert_file"),
    ("no_such_file", "upstream_tls:\n  ca_file: /no/such/file.pem\n", 2, "upstream_tls.ca_file", "/no/such/file.pem"),
    ("no_certificate", "upstream_tls:\n  ca_file: @DIR@/good.key\n", 2, "upstream_tls.ca_file", "certificate"),
    (
        "wrong_key_for_certificate",
        "tls:\n  cert_file: @DIR@/good.pem\n  key_file: @DIR@/client.key\n",
        3,
        "tls.key_file",
        "",
    ),
    ("no_ca_at_all", "upstream_tls:\n  use_system_cas: false\n", 2, "upstream_tls.use_system_cas", "ca_file"),
    ("short_token_key", "paging:\n  resume_token_key_file: @DIR@/short\n", 2, "paging.resume_token_key_file", "32"),
    ("yaml_broken", "pool:\n  idle_timeout: [5s\n", 0, "", "YAML"),
    ("yaml_tabs", "pool:\n\tidle_timeout: 5s\n", 2, "", "YAML"),
    ("top_is_a_list", "- pool\n", 1, "", "mapping"),
    ("two_documents", "pool: {}\n---\npool: {}\n", 0, "", "document"),
]


def check_config(text: str, tmp_path: pathlib.Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    file = tmp_path / "fetchd.yaml"
    file.write_text(text)
    return subprocess.run(
        [str(FETCHD), "--config", str(file), "--check_config", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name,text,line,key,word", BAD_CONFIGS, ids=names(BAD_CONFIGS))
def test_bad_config(
    tmp_path: pathlib.Path, certificates: Certificates, name: str, text: str, line: int, key: str, word: str
) -> None:
    certificates.file("short").write_text("too short")
    text = text.replace("@DIR@", str(certificates.directory))
    done = check_config(text, tmp_path)
    assert done.returncode == 78, done.stderr
    place = re.search(r"fetchd\.yaml:(\d+): (\S+?): (.*)", done.stderr)
    assert place, done.stderr
    if line:
        assert int(place.group(1)) == line, done.stderr
    if key:
        assert place.group(2) == key, done.stderr
    assert word in place.group(3), done.stderr


def test_all_mistakes_are_named_at_once(tmp_path: pathlib.Path) -> None:
    done = check_config("pool:\n  idle_timeout: 5\nengine:\n  threads: x\nzzz: 1\n", tmp_path)
    assert done.returncode == 78
    for place in ("fetchd.yaml:2: pool.idle_timeout", "fetchd.yaml:4: engine.threads", "fetchd.yaml:5: zzz"):
        assert place in done.stderr


def test_a_bad_config_does_not_start(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fetchd.yaml"
    file.write_text("pool:\n  idle_timeout: 5\n")
    done = subprocess.run([str(FETCHD), "--config", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert "fetchd.yaml:2: pool.idle_timeout" in done.stderr


def test_missing_config_file(tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "missing.yaml"
    done = subprocess.run(
        [str(FETCHD), "--config", str(missing), "--check_config"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "missing.yaml" in done.stderr


def test_bad_flag_value(tmp_path: pathlib.Path) -> None:
    done = check_config("", tmp_path, "--listen", "nonsense")
    assert done.returncode == 78
    assert "--listen" in done.stderr


@pytest.mark.parametrize("text", ["", "# nothing\n", "pool:\n", "pool:\n  idle_timeout: 1m30s\nlog: {format: json}\n"])
def test_good_config(tmp_path: pathlib.Path, text: str) -> None:
    done = check_config(text, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_example_config_is_good(tmp_path: pathlib.Path) -> None:
    deploy = pathlib.Path(__file__).resolve().parents[2] / "deploy"
    examples = sorted(deploy.glob("*.yaml"))
    examples = [file for file in examples if "compose" not in file.name]
    assert examples, "deploy/ has no example config"
    for file in examples:
        done = check_config(file.read_text(), tmp_path)
        assert done.returncode == 0, f"{file.name}: {done.stderr}"

"""What may be fetched, and who may ask: the address guard on by default, TLS and mTLS towards callers."""

import socket
import ssl
from typing import Any, Optional

import grpc
import pytest
from calls import Client, as_request, error_of, response_of, status_details
from dns_server import DnsServer
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from real_origins import Certificates, Nginx
from scripted_origin import ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until


def forbidden(client: Client, url: str) -> None:
    """The URL itself is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(url)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED, caught.value.details()
    assert status_details(caught.value)["ErrorInfo"].reason == "URL_FORBIDDEN"


class TestAddressGuard:
    """Nothing that is not public, unless the config says so."""

    @pytest.fixture(scope="class")
    def server(self, start_fetchd: Any, tmp_path_factory: pytest.TempPathFactory) -> Fetchd:
        hosts = tmp_path_factory.mktemp("hosts") / "hosts"
        hosts.write_text("127.0.0.1 localhost\n10.1.1.1 from-hosts.test\n127.0.0.1 loop-from-hosts.test\n")
        return start_fetchd(guard={"allow_cidrs": []}, dns={"hosts_file": str(hosts)})

    @pytest.fixture(scope="class")
    def guarded(self, server: Fetchd) -> Client:
        return Client(server.channel())

    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
            *("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
            *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]"),
            *("[64:ff9b::10.0.0.1]", "[2002:7f00:1::1]", "[2001:db8::1]", "localhost", "a.localhost", "LOCALHOST."),
        ],
    )
    def test_literals(self, guarded: Client, host: str) -> None:
        forbidden(guarded, f"http://{host}/")

    @pytest.mark.parametrize(
        "addresses",
        [
            ["127.0.0.1"],
            ["10.0.0.1"],
            ["169.254.169.254"],
            ["::1"],
            ["fd00::1"],
            ["::ffff:10.0.0.1"],
            ["10.0.0.1", "192.168.0.1", "fe80::1"],
        ],
        ids=lambda addresses: "_".join(addresses),
    )
    def test_names(self, guarded: Client, dns: DnsServer, origin: ScriptedOrigin, addresses: Any) -> None:
        name = f"guard{len(dns.names)}.test"
        dns.names[name] = addresses
        reply = guarded.fetch(origin.url("/x", host=name))
        error = error_of(reply, pb.DESTINATION_IP_PROHIBITED)
        assert (error.processed, error.retryable, reply.attempts) == (pb.PROCESSED_NO, False, 1)
        assert origin.accepted == 0

    @pytest.mark.parametrize("name", ["from-hosts.test", "loop-from-hosts.test"])
    def test_names_of_the_hosts_file(self, guarded: Client, origin: ScriptedOrigin, name: str) -> None:
        error_of(guarded.fetch(origin.url("/x", host=name)), pb.DESTINATION_IP_PROHIBITED)
        assert origin.accepted == 0

    def test_every_rpc(self, guarded: Client, dns: DnsServer, origin: ScriptedOrigin) -> None:
        dns.names["private.test"] = ["127.0.0.1"]
        url = origin.url("/x", host="private.test")
        call = guarded.stream(url)
        assert call.read() == b"" and call.tail is not None
        assert call.tail.error.code == pb.DESTINATION_IP_PROHIBITED
        results = [result for message in guarded.batch([url, origin.url("/")]) for result in message.results]
        codes = {result.index: result.fetch.error.code for result in results}
        assert codes == {0: pb.DESTINATION_IP_PROHIBITED, 1: pb.HTTP_REQUEST_DENIED}
        (end,) = guarded.paged(url, link_header=service_pb.LinkHeaderStrategy())
        assert end.end.error.code == pb.DESTINATION_IP_PROHIBITED
        with pytest.raises(grpc.RpcError) as caught:
            list(guarded.paged(origin.url("/"), link_header=service_pb.LinkHeaderStrategy()))
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.RpcError) as caught:
            guarded.stream(origin.url("/")).read()
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert origin.accepted == 0

    def test_our_own_ports(self, guarded: Client, server: Fetchd, dns: DnsServer) -> None:
        dns.names["ourselves.test"] = ["127.0.0.1"]
        error_of(guarded.fetch(f"http://ourselves.test:{server.ops_port}/metrics"), pb.DESTINATION_IP_PROHIBITED)
        forbidden(guarded, f"http://127.0.0.1:{server.ops_port}/metrics")


class TestAllowed:
    """The shared server may fetch from loopback, and from nowhere else that is not public."""

    def test_only_the_allowed_addresses_of_a_name_are_dialled(
        self, client: Client, dns: DnsServer, origin: ScriptedOrigin
    ) -> None:
        dns.names["mixed.test"] = ["10.0.0.1", "169.254.169.254", "127.0.0.1"]
        url = origin.route("/x", lambda connection: connection.reply(b"ok"))
        response_of(client.fetch(url.replace("127.0.0.1", "mixed.test"), connect=5))

    @pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fd00::1]"])
    def test_other_literals(self, client: Client, host: str) -> None:
        forbidden(client, f"http://{host}/")

    def test_a_name_that_changes_its_address(self, start_fetchd: Any, dns: DnsServer, origin: ScriptedOrigin) -> None:
        """The address that was checked is the one that is dialled, at each dial (DNS rebinding)."""
        server: Fetchd = start_fetchd(dns={"min_ttl": "0s"})
        client = Client(server.channel())
        url = origin.route("/x", lambda connection: (connection.reply(b"ok"), connection.close())[0])
        url = url.replace("127.0.0.1", "rebind.test")
        dns.ttl = 0
        try:
            dns.names["rebind.test"] = ["127.0.0.1"]
            response_of(client.fetch(url))
            dns.names["rebind.test"] = ["10.0.0.1"]
            error_of(client.fetch(url), pb.DESTINATION_IP_PROHIBITED)
        finally:
            dns.ttl = 60

    def test_deny_wins(self, start_fetchd: Any, dns: DnsServer) -> None:
        server: Fetchd = start_fetchd(guard={"deny_cidrs": ["127.0.0.2"]})
        client = Client(server.channel())
        forbidden(client, "http://127.0.0.2/")
        dns.names["denied.test"] = ["127.0.0.2"]
        error_of(client.fetch("http://denied.test/"), pb.DESTINATION_IP_PROHIBITED)
        other = ScriptedOrigin("127.0.0.3")
        try:
            response_of(client.fetch(other.route("/x", lambda connection: connection.reply())))
        finally:
            other.stop()

    def test_allowed_ports(self, start_fetchd: Any, origin: ScriptedOrigin) -> None:
        server: Fetchd = start_fetchd(guard={"allowed_ports": ["443", f"{origin.port}-{origin.port}"]})
        client = Client(server.channel())
        response_of(client.fetch(origin.route("/x", lambda connection: connection.reply())))
        forbidden(client, f"http://127.0.0.1:{origin.port - 1}/")

    @pytest.mark.parametrize("port", [22, 25, 6667])
    def test_ports_of_other_protocols(self, client: Client, port: int) -> None:
        forbidden(client, f"http://127.0.0.1:{port}/")


class TestCallers:
    def channel(self, server: Fetchd, certificates: Certificates, client: Optional[str] = None) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(
            certificates.file("ca.pem").read_bytes(),
            certificates.file(f"{client}.key").read_bytes() if client else None,
            certificates.file(f"{client}.pem").read_bytes() if client else None,
        )
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(server.target, credentials, options=options)

    def tls(self, certificates: Certificates) -> Any:
        return {"cert_file": str(certificates.file("good.pem")), "key_file": str(certificates.file("good.key"))}

    def refused(self, channel: grpc.Channel, url: str) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            Client(channel).fetch(url, deadline=10)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE

    def test_tls(self, start_fetchd: Any, certificates: Certificates, nginx: Nginx) -> None:
        server: Fetchd = start_fetchd(tls=self.tls(certificates))
        with self.channel(server, certificates) as channel:
            response_of(Client(channel).fetch(nginx.url("/1k")))
        self.refused(server.channel(), nginx.url("/1k"))
        context = ssl.create_default_context(cafile=str(certificates.file("ca.pem")))
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", server.grpc_port)) as raw, pytest.raises(OSError):
            context.wrap_socket(raw, server_hostname="localhost")

    def test_mtls(self, start_fetchd: Any, certificates: Certificates, nginx: Nginx) -> None:
        server: Fetchd = start_fetchd(tls={**self.tls(certificates), "client_ca_file": str(certificates.file("ca.pem"))})
        with self.channel(server, certificates, "client") as channel:
            reply = channel.unary_unary(
                "/fetchd.v1.FetchService/Fetch",
                request_serializer=pb.FetchRequest.SerializeToString,
                response_deserializer=pb.FetchResponse.FromString,
            )(as_request(nginx.url("/1k")), timeout=30)
            response_of(reply)
            # Who showed a certificate need not name itself.
            wait_until(lambda: reply.fetch_id in server.access_log(), "the fetch is in the log")
            assert "client.test" in server.access_log()
        with self.channel(server, certificates) as channel:
            self.refused(channel, nginx.url("/1k"))
        with self.channel(server, certificates, "untrusted") as channel:
            self.refused(channel, nginx.url("/1k"))
        self.refused(server.channel(), nginx.url("/1k"))


def test_callers_are_logged_by_name_or_address(client: Client, fetchd: Fetchd, nginx: Nginx) -> None:
    named = Client(client.channel, "team.a-1_x").fetch(nginx.url("/1k"))
    anonymous = client.stub.Fetch(as_request(nginx.url("/1k")), timeout=30)

    def line(fetch_id: str) -> str:
        return next((entry for entry in fetchd.access_log().splitlines() if fetch_id in entry), "")

    assert "team.a-1_x" in wait_until(lambda: line(named.fetch_id), "the fetch is in the log")
    assert "127.0.0.1" in wait_until(lambda: line(anonymous.fetch_id), "the fetch is in the log")


def test_secrets_are_nowhere_in_the_output(client: Client, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
    secret = "s3cr3t-value"
    request = as_request(origin.url(f"/none?key={secret}"), headers=[("authorization", secret.encode())], attempts=1)
    request.headers.add(name="x-mine", value=secret.encode(), sensitive=True)
    response_of(client.fetch(request), 404)
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(f"http://user:{secret}@127.0.0.1/?key={secret}")
    assert secret not in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.fetch(origin.url("/"), headers=[("authorization", f"{secret}\n".encode())])
    assert secret not in caught.value.details()
    assert secret not in fetchd.access_log() + fetchd.log()

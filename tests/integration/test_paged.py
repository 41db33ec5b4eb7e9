"""FetchPaged: every strategy, exact items, guards, and resuming anywhere."""

import json
import pathlib
import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

import grpc
import pytest
from calls import Client, as_request, checked_error, violations
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from paged_api import ODD_ITEMS, PagedApi, item, page_body
from scripted_origin import Connection, ScriptedOrigin
from server_process import Fetchd
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("quiet")

Request = service_pb.FetchPagedRequest
End = service_pb.PagedEnd
ITEMS = "/data/items"

STRATEGIES: Dict[str, Dict[str, Any]] = {
    "/link": {"link_header": service_pb.LinkHeaderStrategy()},
    "/next": {"next_url": service_pb.NextUrlStrategy(pointer="/paging/next")},
    "/cursor": {"cursor": service_pb.CursorStrategy(pointer="/meta/cursor", param="cursor")},
    "/header-cursor": {
        "cursor": service_pb.CursorStrategy(header="X-Next-Cursor", param="page_info", drop_other_params=True)
    },
    "/offset": {"offset": service_pb.OffsetStrategy(param="skip", limit=100, limit_param="take")},
    "/numbered": {"page_number": service_pb.PageNumberStrategy(param="page", page_size=100)},
}


class Listing:
    """What came of a FetchPaged call."""

    def __init__(self, call: Any):
        self.pages: List[service_pb.Page] = []
        self.items: List[bytes] = []
        self.end: Optional[service_pb.PagedEnd] = None
        self.tokens: List[bytes] = []
        for message in call:
            assert self.end is None, "a message after the end"
            kind = message.WhichOneof("message")
            if kind == "page":
                self.pages.append(message.page)
            elif kind == "items":
                assert message.items.items
                self.items.extend(message.items.items)
            else:
                assert kind == "end"
                self.end = message.end
            self.tokens.append(message.resume_token)
        assert self.end is not None, "the list has no end"

    def ended(self, reason: int) -> "Listing":
        """Checks why it ended."""
        assert self.end is not None
        assert End.Reason.Name(self.end.reason) == End.Reason.Name(reason), f"{self.end}"
        assert self.end.HasField("error") == (reason == End.REASON_ERROR)
        return self


def by_items(client: Client, url: str, **more: Any) -> Listing:
    """All items of a list."""
    more.setdefault("items", ITEMS)
    return Listing(client.paged(url, unit=Request.UNIT_ITEM, **more))


def by_pages(client: Client, url: str, **more: Any) -> Listing:
    """All pages of a list."""
    return Listing(client.paged(url, **more))


@pytest.mark.parametrize("path", STRATEGIES)
def test_items(client: Client, origin: ScriptedOrigin, path: str) -> None:
    api = PagedApi(origin, total=1050, size=100)
    listing = by_items(client, origin.url(path), **STRATEGIES[path]).ended(End.REASON_LAST_PAGE)
    assert listing.items == api.expected()
    assert listing.end is not None
    assert (listing.end.pages, listing.end.items) == (11, 1050)
    assert origin.count(path) == 11
    assert listing.tokens[-1] == b""


@pytest.mark.parametrize("path", STRATEGIES)
def test_pages(client: Client, origin: ScriptedOrigin, path: str) -> None:
    api = PagedApi(origin, total=450, size=100)
    listing = by_pages(client, origin.url(path), items=ITEMS, **STRATEGIES[path]).ended(End.REASON_LAST_PAGE)
    assert [page.number for page in listing.pages] == [1, 2, 3, 4, 5]
    assert [page.item_count for page in listing.pages] == [100, 100, 100, 100, 50]
    assert all(page.response.status == 200 for page in listing.pages)
    items = [entry for page in listing.pages for entry in json.loads(page.response.body)["data"]["items"]]
    assert items == [json.loads(entry) for entry in api.expected()]


@pytest.mark.parametrize("path", STRATEGIES)
def test_a_whole_number_of_full_pages(client: Client, origin: ScriptedOrigin, path: str) -> None:
    api = PagedApi(origin, total=300, size=100)
    listing = by_items(client, origin.url(path), **STRATEGIES[path]).ended(End.REASON_LAST_PAGE)
    assert listing.items == api.expected()


@pytest.mark.parametrize("path", STRATEGIES)
def test_an_empty_list(client: Client, origin: ScriptedOrigin, path: str) -> None:
    PagedApi(origin, total=0, size=100)
    listing = by_items(client, origin.url(path), **STRATEGIES[path]).ended(End.REASON_LAST_PAGE)
    assert listing.items == []
    assert origin.count(path) == 1


@pytest.mark.parametrize("path", STRATEGIES)
def test_resuming_after_each_message(client: Client, origin: ScriptedOrigin, path: str) -> None:
    api = PagedApi(origin, total=350, size=100)
    whole = by_items(client, origin.url(path), **STRATEGIES[path])
    seen = 0
    for message in client.paged(origin.url(path), unit=Request.UNIT_ITEM, items=ITEMS, **STRATEGIES[path]):
        if message.WhichOneof("message") == "end":
            break
        seen += len(message.items.items)
        assert message.resume_token
        rest = by_items(client, origin.url(path), resume_token=message.resume_token, **STRATEGIES[path])
        assert rest.ended(End.REASON_LAST_PAGE).items == api.expected()[seen:]
        assert rest.end is not None and (rest.end.pages, rest.end.items) == (whole.end.pages, whole.end.items)
    assert seen == 350


def test_other_parameters_of_the_query(client: Client, origin: ScriptedOrigin) -> None:
    PagedApi(origin, total=250, size=100)
    by_items(client, origin.url("/cursor?filter=a%20b&filter=c"), **STRATEGIES["/cursor"]).ended(End.REASON_LAST_PAGE)
    assert all("filter=a%20b&filter=c" in request.target for request in origin.requests)
    origin.requests.clear()
    by_items(client, origin.url("/header-cursor?filter=a"), **STRATEGIES["/header-cursor"])
    assert ["filter" in request.target for request in origin.requests] == [True, False, False]
    origin.requests.clear()
    by_items(client, origin.url("/offset?skip=77&take=5&a=b"), **STRATEGIES["/offset"])
    assert [request.target for request in origin.requests][:2] == [
        "/offset?skip=0&take=100&a=b",
        "/offset?skip=100&take=100&a=b",
    ]


def test_link_relation(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        count = origin.count("/older")
        link = (("Link", f'<?n={count}>; rel="other OLDER"'),) if count < 3 else ()
        connection.reply(b"[1]", headers=link)

    url = origin.route("/older", script)
    listing = by_items(client, url, items="", link_header=service_pb.LinkHeaderStrategy(rel="older"))
    assert listing.ended(End.REASON_LAST_PAGE).items == [b"1"] * 3


def test_offset_without_limit_and_page_number_without_size(client: Client, origin: ScriptedOrigin) -> None:
    api = PagedApi(origin, total=250, size=100)
    listing = by_items(client, origin.url("/offset"), offset=service_pb.OffsetStrategy(param="skip"))
    assert listing.ended(End.REASON_LAST_PAGE).items == api.expected()
    # Only an empty page ends it.
    assert [request.target for request in origin.requests][-1] == "/offset?skip=250"
    origin.requests.clear()
    listing = by_items(client, origin.url("/numbered"), page_number=service_pb.PageNumberStrategy(param="page"))
    assert listing.ended(End.REASON_LAST_PAGE).items == api.expected()
    assert [request.target for request in origin.requests][-1] == "/numbered?page=4"


def test_first_page_and_offset(client: Client, origin: ScriptedOrigin) -> None:
    api = PagedApi(origin, total=250, size=100)
    listing = by_items(client, origin.url("/offset"), offset=service_pb.OffsetStrategy(param="skip", start=120))
    assert listing.items == api.expected()[120:]
    strategy = service_pb.PageNumberStrategy(param="page", start=2)
    assert by_items(client, origin.url("/numbered"), page_number=strategy).items == api.expected()[100:]
    origin.route("/from-zero", lambda connection: connection.reply(b"[]"))
    strategy = service_pb.PageNumberStrategy(param="page", start=0)
    by_items(client, origin.url("/from-zero"), items="", page_number=strategy)
    assert origin.requests[-1].target == "/from-zero?page=0"


@pytest.mark.parametrize("path", ["/link", "/offset"])
def test_items_are_the_bytes_of_the_page(client: Client, origin: ScriptedOrigin, path: str) -> None:
    api = PagedApi(origin, total=5 * len(ODD_ITEMS), size=10)
    api.odd = True
    strategy = STRATEGIES[path] if path == "/link" else {"offset": service_pb.OffsetStrategy(param="skip")}
    listing = by_items(client, origin.url(path), **strategy).ended(End.REASON_LAST_PAGE)
    assert listing.items == ODD_ITEMS * 5


def test_cursor_that_is_a_number(client: Client, origin: ScriptedOrigin) -> None:
    def script(connection: Connection) -> None:
        target = connection.request.target  # type: ignore[union-attr]
        # More digits than a double has.
        cursor = b"null" if "after" in target else b"12345678901234567891"
        connection.reply(b'{"items": [1], "cursor": ' + cursor + b"}")

    url = origin.route("/x", script)
    strategy = service_pb.CursorStrategy(pointer="/cursor", param="after")
    by_items(client, url, items="/items", cursor=strategy).ended(End.REASON_LAST_PAGE)
    assert [request.target for request in origin.requests] == ["/x", "/x?after=12345678901234567891"]


def test_pointers_with_escapes(client: Client, origin: ScriptedOrigin) -> None:
    url = origin.route("/x", lambda connection: connection.reply(b'{"a/b": {"m~n": [[], [7, 8]]}}'))
    listing = by_items(client, url, items="/a~1b/m~0n/1", link_header=service_pb.LinkHeaderStrategy())
    assert listing.ended(End.REASON_LAST_PAGE).items == [b"7", b"8"]


def test_method_headers_and_body_serve_for_every_page(client: Client, origin: ScriptedOrigin) -> None:
    PagedApi(origin, total=250, size=100)
    fetch = {"method": "POST", "headers": [("x-a", b"1"), ("authorization", b"secret")], "body": b"query"}
    by_items(client, origin.url("/next"), fetch=fetch, **STRATEGIES["/next"]).ended(End.REASON_LAST_PAGE)
    assert len(origin.requests) == 3
    for request in origin.requests:
        assert (request.method, request.body) == ("POST", b"query")
        assert (request.header("x-a"), request.header("authorization")) == (b"1", b"secret")


class TestLimits:
    def test_max_pages(self, client: Client, origin: ScriptedOrigin) -> None:
        api = PagedApi(origin, total=1000, size=100)
        listing = by_items(client, origin.url("/link"), max_pages=3, **STRATEGIES["/link"])
        assert listing.ended(End.REASON_MAX_PAGES).items == api.expected()[:300]
        assert origin.count("/link") == 3
        more = by_items(
            client, origin.url("/link"), max_pages=3, resume_token=listing.tokens[-1], **STRATEGIES["/link"]
        )
        assert more.ended(End.REASON_MAX_PAGES).items == api.expected()[300:600]

    def test_max_pages_that_is_just_enough(self, client: Client, origin: ScriptedOrigin) -> None:
        PagedApi(origin, total=300, size=100)
        by_items(client, origin.url("/link"), max_pages=3, **STRATEGIES["/link"]).ended(End.REASON_LAST_PAGE)

    @pytest.mark.parametrize("path", STRATEGIES)
    def test_max_items(self, client: Client, origin: ScriptedOrigin, path: str) -> None:
        api = PagedApi(origin, total=1000, size=100)
        listing = by_items(client, origin.url(path), max_items=250, **STRATEGIES[path])
        assert listing.ended(End.REASON_MAX_ITEMS).items == api.expected()[:250]
        assert listing.end is not None and listing.end.items == 250
        assert origin.count(path) == 3
        more = by_items(client, origin.url(path), max_items=250, resume_token=listing.tokens[-1], **STRATEGIES[path])
        assert more.ended(End.REASON_MAX_ITEMS).items == api.expected()[250:500]

    def test_the_servers_cap_of_pages(self, start_fetchd: Any, origin: ScriptedOrigin) -> None:
        capped: Fetchd = start_fetchd(limits={"max_pages": 4})
        PagedApi(origin, total=1000, size=100)
        url = origin.url("/link")
        for max_pages in (0, 100):
            listing = by_items(Client(capped.channel()), url, max_pages=max_pages, **STRATEGIES["/link"])
            assert len(listing.ended(End.REASON_MAX_PAGES).items) == 400

    def test_big_pages_come_in_parts(self, client: Client, origin: ScriptedOrigin) -> None:
        """An item page of 3 MiB and many items stays below gRPC's 4 MiB for a message."""
        body = page_body([b'"' + b"x" * 100 + b'"'] * 30_000)
        url = origin.route("/x", lambda connection: connection.reply(body))
        listing = by_items(client, url, link_header=service_pb.LinkHeaderStrategy()).ended(End.REASON_LAST_PAGE)
        assert len(listing.items) == 30_000
        assert len(listing.tokens) > 2

    def test_resuming_within_a_page(self, client: Client, origin: ScriptedOrigin) -> None:
        items = [b"%d" % i for i in range(5000)]
        url = origin.route("/x", lambda connection: connection.reply(page_body(items)))
        strategy = {"link_header": service_pb.LinkHeaderStrategy()}
        seen: List[bytes] = []
        for message in client.paged(url, unit=Request.UNIT_ITEM, items=ITEMS, **strategy):
            if message.WhichOneof("message") == "items":
                seen.extend(message.items.items)
                assert message.items.page == 1
                rest = by_items(client, url, resume_token=message.resume_token, **strategy)
                assert seen + rest.items == items
        assert seen == items


class TestPace:
    def test_the_next_page_waits_for_the_caller(self, client: Client, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
        filler = b'"' + b"x" * 100_000 + b'"'

        def script(connection: Connection) -> None:
            connection.reply(page_body([filler] * 20), headers=(("Link", f"<?n={origin.count('/x')}>; rel=next"),))

        call = client.paged(origin.route("/x", script), link_header=service_pb.LinkHeaderStrategy())
        next(call)
        last = -1

        def settled() -> bool:
            nonlocal last
            before, last = last, origin.count("/x")
            threading.Event().wait(0.2)
            return before == last and fetchd.in_flight() == 0

        wait_until(settled, "no more pages are requested")
        # Pages of 2 MB: the one read here, and what fits into gRPC's and the kernel's buffers.
        assert last <= 12, f"{last} pages were requested for a caller that took one"
        call.cancel()

    def test_cancel_in_the_middle_of_a_page(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.hold())
        call = client.paged(url, link_header=service_pb.LinkHeaderStrategy())
        wait_until(lambda: origin.count("/x") == 1, "the page is requested")
        call.cancel()
        wait_until(lambda: origin.open_connections() == 0, "the connection is closed")


class TestFailures:
    """Each ends the list with an error, and with a token that loses nothing."""

    def listing(self, client: Client, origin: ScriptedOrigin, broken: Callable[[Connection], None]) -> Listing:
        """Items of a list of three pages whose second one is broken."""

        def script(connection: Connection) -> None:
            target = connection.request.target  # type: ignore[union-attr]
            if target.endswith("?n=2"):
                broken(connection)
                return
            number = 3 if target.endswith("?n=3") else 1
            link = (("Link", '<?n=2>; rel="next"'),) if number == 1 else ()
            connection.reply(page_body([item(number)]), headers=link)

        return by_items(
            client,
            origin.route("/list", script),
            fetch={"attempts": 1},
            link_header=service_pb.LinkHeaderStrategy(),
        ).ended(End.REASON_ERROR)

    @pytest.mark.parametrize(
        "name,reply,code",
        [
            ("not_json", b"<html>", pb.PAGE_INVALID),
            ("empty", b"", pb.PAGE_INVALID),
            ("cut_json", b'{"data": {"items": [1, 2', pb.PAGE_INVALID),
            ("items_missing", b'{"data": {}}', pb.PAGE_INVALID),
            ("items_no_array", b'{"data": {"items": {"0": 1}}}', pb.PAGE_INVALID),
            ("items_broken", b'{"data": {"items": [1, }]}}', pb.PAGE_INVALID),
            ("not_utf8", b'{"data": {"items": ["\xff\xfe"]}}', pb.PAGE_INVALID),
        ],
    )
    def test_bad_page(self, client: Client, origin: ScriptedOrigin, name: str, reply: bytes, code: int) -> None:
        listing = self.listing(client, origin, lambda connection: connection.reply(reply))
        assert listing.items == [item(1)]
        assert listing.end is not None
        checked_error(listing.end.error, code, pb.PHASE_PAGINATE)

    def test_bad_status(self, client: Client, origin: ScriptedOrigin) -> None:
        listing = self.listing(client, origin, lambda connection: connection.reply(b"busy", 429, (("retry-after", "9"),)))
        assert listing.items == [item(1)]
        assert listing.end is not None
        error = checked_error(listing.end.error, pb.PAGE_STATUS)
        assert (error.partial_response.status, error.partial_response.body) == (429, b"busy")
        assert error.HasField("retry_at")

    def test_transport_failure(self, client: Client, origin: ScriptedOrigin) -> None:
        def broken(connection: Connection) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc")
            connection.close()

        listing = self.listing(client, origin, broken)
        assert listing.end is not None
        checked_error(listing.end.error, pb.HTTP_RESPONSE_INCOMPLETE, pb.PHASE_RECEIVE)

    def test_the_token_starts_with_the_page_that_failed(self, client: Client, origin: ScriptedOrigin) -> None:
        ill = threading.Event()
        ill.set()
        api = PagedApi(origin, total=500, size=100)
        healthy = origin._routes["/cursor"][0]  # pylint: disable=protected-access

        def script(connection: Connection) -> None:
            if ill.is_set() and "300" in connection.request.target:  # type: ignore[union-attr]
                connection.reply(b"ill", 500)
            else:
                healthy(connection)

        url = origin.route("/cursor", script)
        first = by_items(client, url, **STRATEGIES["/cursor"]).ended(End.REASON_ERROR)
        assert first.items == api.expected()[:300]
        again = by_items(client, url, resume_token=first.tokens[-1], **STRATEGIES["/cursor"]).ended(End.REASON_ERROR)
        assert again.items == []
        ill.clear()
        rest = by_items(client, url, resume_token=again.tokens[-1], **STRATEGIES["/cursor"])
        assert rest.ended(End.REASON_LAST_PAGE).items == api.expected()[300:]

    def test_first_page_fails(self, client: Client) -> None:
        listing = by_items(client, "http://nowhere.test/", **STRATEGIES["/link"], fetch={"attempts": 1})
        listing.ended(End.REASON_ERROR)
        assert listing.end is not None
        checked_error(listing.end.error, pb.DNS_ERROR, pb.PHASE_DNS)

    def test_a_page_over_the_limit(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b"[" + b" " * 4_000_000 + b"]"))
        listing = by_items(client, url, items="", **STRATEGIES["/link"]).ended(End.REASON_ERROR)
        assert listing.end is not None
        checked_error(listing.end.error, pb.HTTP_RESPONSE_BODY_SIZE)


class TestGuards:
    def loop(self, client: Client, url: str, **more: Any) -> None:
        listing = by_items(client, url, **more).ended(End.REASON_ERROR)
        assert listing.end is not None
        checked_error(listing.end.error, pb.PAGINATION_LOOP, pb.PHASE_PAGINATE)
        assert len(listing.items) <= 20

    @pytest.mark.parametrize("length", [1, 2, 7])
    def test_urls_that_loop(self, client: Client, origin: ScriptedOrigin, length: int) -> None:
        def script(connection: Connection) -> None:
            target = connection.request.target  # type: ignore[union-attr]
            at = int(target.partition("=")[2] or "0")
            connection.reply(json.dumps({"items": [at], "next": f"/x?n={(at + 1) % length}"}).encode())

        self.loop(client, origin.route("/x", script), items="/items", next_url=service_pb.NextUrlStrategy(pointer="/next"))

    def test_cursors_that_loop(self, client: Client, origin: ScriptedOrigin) -> None:
        url = origin.route("/x", lambda connection: connection.reply(b'{"items": [1], "c": "same"}'))
        self.loop(client, url, items="/items", cursor=service_pb.CursorStrategy(pointer="/c", param="c"))

    def test_pages_that_are_the_same_again_and_again(self, client: Client, origin: ScriptedOrigin) -> None:
        """An origin that does not know the parameter."""
        url = origin.route("/x", lambda connection: connection.reply(b"[1, 2]"))
        self.loop(client, url, items="", offset=service_pb.OffsetStrategy(param="skip"))
        self.loop(client, url, items="", page_number=service_pb.PageNumberStrategy(param="page"))

    def elsewhere(self, origin: ScriptedOrigin, other: str) -> str:
        return origin.route("/x", lambda connection: connection.reply(b"[1]", headers=(("link", f"<{other}>; rel=next"),)))

    def test_another_origin_is_not_followed(self, client: Client, origin: ScriptedOrigin) -> None:
        other = ScriptedOrigin()
        try:
            url = self.elsewhere(origin, other.route("/y", lambda connection: connection.reply(b"[2]")))
            listing = by_items(client, url, items="", **STRATEGIES["/link"]).ended(End.REASON_ERROR)
            assert listing.items == [b"1"] and listing.end is not None
            checked_error(listing.end.error, pb.PAGE_ORIGIN_PROHIBITED, pb.PHASE_PAGINATE)
            assert other.accepted == 0
        finally:
            other.stop()

    def test_another_origin_is_followed_without_secrets(self, client: Client, origin: ScriptedOrigin) -> None:
        other = ScriptedOrigin()
        try:
            url = self.elsewhere(origin, other.route("/y", lambda connection: connection.reply(b"[2]")))
            request = as_request(url, headers=[("authorization", b"secret"), ("cookie", b"c"), ("x-a", b"b")])
            request.headers.add(name="x-token", value=b"secret", sensitive=True)
            listing = Listing(
                client.paged(request, unit=Request.UNIT_ITEM, items="", allow_other_origins=True, **STRATEGIES["/link"])
            )
            assert listing.ended(End.REASON_LAST_PAGE).items == [b"1", b"2"]
            names = {name for name, _ in other.requests[0].headers}
            assert b"x-a" in names
            assert not names & {b"authorization", b"cookie", b"x-token"}
            assert origin.requests[0].header("x-token") == b"secret"
        finally:
            other.stop()

    @pytest.mark.parametrize("other", ["http://10.0.0.1/", "http://[fe80::1]/", "http://169.254.169.254/latest/"])
    def test_forbidden_addresses_are_not_paged_to(self, client: Client, origin: ScriptedOrigin, other: str) -> None:
        url = self.elsewhere(origin, other)
        listing = by_items(client, url, items="", allow_other_origins=True, **STRATEGIES["/link"])
        listing.ended(End.REASON_ERROR)
        assert listing.end is not None and listing.items == [b"1"]
        checked_error(listing.end.error, pb.DESTINATION_IP_PROHIBITED)

    @pytest.mark.parametrize("other", ["ftp://127.0.0.1/", "javascript:alert(1)", "http://user@127.0.0.1/", "http://["])
    def test_next_urls_that_are_none(self, client: Client, origin: ScriptedOrigin, other: str) -> None:
        url = self.elsewhere(origin, other)
        listing = by_items(client, url, items="", allow_other_origins=True, **STRATEGIES["/link"])
        listing.ended(End.REASON_ERROR)
        assert listing.items in ([b"1"], []) and origin.count("/x") == 1


class TestResumeTokens:
    def two_servers(self, start_fetchd: Any, tmp_path: pathlib.Path, keys: Tuple[bytes, bytes]) -> List[Client]:
        clients = []
        for number, key in enumerate(keys):
            file = tmp_path / f"key{number}"
            file.write_bytes(key)
            server: Fetchd = start_fetchd(paging={"resume_token_key_file": str(file)})
            clients.append(Client(server.channel()))
        return clients

    def token(self, client: Client, url: str, path: str) -> bytes:
        """Continues after the first page."""
        return by_items(client, url, **STRATEGIES[path]).tokens[0]

    def refused(self, client: Client, url: str, **more: Any) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            by_items(client, url, **more)
        assert list(violations(caught.value)) == ["resume_token"]

    def test_over_two_servers_that_share_a_key(
        self, start_fetchd: Any, tmp_path: pathlib.Path, origin: ScriptedOrigin
    ) -> None:
        api = PagedApi(origin, total=1000, size=100)
        clients = self.two_servers(start_fetchd, tmp_path, (b"k" * 32, b"k" * 32 + b"\n"))
        for path in STRATEGIES:
            items: List[bytes] = []
            token = b""
            for turn in range(20):
                listing = by_items(
                    clients[turn % 2], origin.url(path), max_pages=3, resume_token=token, **STRATEGIES[path]
                )
                items += listing.items
                token = listing.tokens[-1]
                if not token:
                    break
            assert items == api.expected()

    def test_another_key(self, start_fetchd: Any, tmp_path: pathlib.Path, origin: ScriptedOrigin) -> None:
        PagedApi(origin)
        one, two = self.two_servers(start_fetchd, tmp_path, (b"k" * 32, b"q" * 32))
        token = self.token(one, origin.url("/link"), "/link")
        requests = len(origin.requests)
        self.refused(two, origin.url("/link"), resume_token=token, **STRATEGIES["/link"])
        assert len(origin.requests) == requests

    def test_altered_tokens(self, client: Client, origin: ScriptedOrigin) -> None:
        PagedApi(origin)
        url = origin.url("/cursor")
        token = self.token(client, url, "/cursor")
        requests = len(origin.requests)
        for altered in [token[:-1], token + b"x", b"x", bytes([token[0] ^ 1]) + token[1:], b"\0" * 5000]:
            self.refused(client, url, resume_token=altered, **STRATEGIES["/cursor"])
        for at in range(0, len(token), 7):
            self.refused(
                client,
                url,
                resume_token=token[:at] + bytes([token[at] ^ 0x20]) + token[at + 1 :],
                **STRATEGIES["/cursor"],
            )
        assert len(origin.requests) == requests

    def test_another_request_or_caller(self, client: Client, fetchd: Fetchd, origin: ScriptedOrigin) -> None:
        PagedApi(origin)
        url = origin.url("/link")
        token = self.token(client, url, "/link")
        self.refused(client, url + "?x=y", resume_token=token, **STRATEGIES["/link"])
        self.refused(client, url, resume_token=token, **STRATEGIES["/next"])
        self.refused(client, url, resume_token=token, items="/data", **STRATEGIES["/link"])
        self.refused(client, url, resume_token=token, fetch={"method": "POST"}, **STRATEGIES["/link"])
        self.refused(Client(client.channel, "somebody-else"), url, resume_token=token, **STRATEGIES["/link"])
        by_items(client, url, resume_token=token, **STRATEGIES["/link"]).ended(End.REASON_LAST_PAGE)

"""Lists in pages, in each of the ways in which APIs paginate, served by a ScriptedOrigin."""

import json
import urllib.parse
from typing import Callable, List

from scripted_origin import Connection, ScriptedOrigin

# Items whose exact bytes a re-encoding would not keep: big and odd numbers, escapes, blanks, key order, duplicates.
ODD_ITEMS = [
    b'{"id": 12345678901234567890, "v": 1.10}',
    b'{ "b" : 1 , "a" : 2 }',
    b'{"a":1,"a":2}',
    b'"\\u00e9\\/\\ud83d\\ude00"',
    b"1e400",
    b"-0.0",
    b"0.1000000000000000055511151231257827",
    b"[ 1,2 , [ ] ]",
    b"null",
    b"true",
    '"é😀"'.encode(),
    b'{"nested":{"deep":[{"x":"}]"}]}}',
]


def item(i: int) -> bytes:
    """The i-th item of every list here."""
    return b'{"id":%d,"name":"item %d"}' % (i, i)


def page_body(items: List[bytes], **more: object) -> bytes:
    """`{"data": {"items": [...]}, ...}` with the items byte for byte."""
    rest = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in more.items())
    return b'{"data": {"items": [' + b", ".join(items) + b"]}" + rest.encode() + b"}"


def query(connection: Connection) -> dict:
    """Query parameters of the request; the last one of a name wins."""
    assert connection.request is not None
    return dict(urllib.parse.parse_qsl(connection.request.target.partition("?")[2], keep_blank_values=True))


class PagedApi:
    """`total` items in pages of `size` at /link, /next, /cursor, /header-cursor, /offset and /numbered."""

    def __init__(self, origin: ScriptedOrigin, total: int = 1000, size: int = 100, prefix: str = ""):
        self.total, self.size, self.prefix, self.origin = total, size, prefix, origin
        self.odd = False
        routes: List[tuple[str, Callable[[Connection], None]]] = [
            ("/link", self._link),
            ("/next", self._next),
            ("/cursor", self._cursor),
            ("/header-cursor", self._header_cursor),
            ("/offset", self._offset),
            ("/numbered", self._numbered),
        ]
        for path, script in routes:
            origin.route(prefix + path, script)

    def expected(self) -> List[bytes]:
        """All items, in order."""
        return self._slice(0, self.total)

    def _slice(self, start: int, size: int) -> List[bytes]:
        stop = max(start, min(start + size, self.total))
        if self.odd:
            return [ODD_ITEMS[i % len(ODD_ITEMS)] for i in range(start, stop)]
        return [item(i) for i in range(start, stop)]

    def _json(self, connection: Connection, body: bytes, *headers: tuple[str, str]) -> None:
        connection.reply(body, headers=(("content-type", "application/json"),) + headers)

    def _link(self, connection: Connection) -> None:
        page = int(query(connection).get("page", "1"))
        headers = []
        if page * self.size < self.total:
            headers.append(
                (
                    "Link",
                    f'<{self.origin.url(self.prefix)}/link?page=1>; rel="first", '
                    f'</{self.prefix.lstrip("/")}{"/" if self.prefix else ""}link?page={page + 1}>; title="a, b"; rel="next"',
                )
            )
        self._json(connection, page_body(self._slice((page - 1) * self.size, self.size)), *headers)

    def _next(self, connection: Connection) -> None:
        start = int(query(connection).get("after", "0"))
        more = start + self.size
        # Absolute and relative references take turns.
        url = f"?after={more}" if (start // self.size) % 2 else self.origin.url(f"{self.prefix}/next?after={more}")
        self._json(
            connection, page_body(self._slice(start, self.size), paging={"next": url if more < self.total else None})
        )

    def _cursor(self, connection: Connection) -> None:
        # Cursors with characters that need encoding.
        start = int(query(connection).get("cursor", "c&0=+/").split("&")[1].split("=")[0])
        more = start + self.size
        self._json(
            connection,
            page_body(self._slice(start, self.size), meta={"cursor": f"c&{more}=+/" if more < self.total else ""}),
        )

    def _header_cursor(self, connection: Connection) -> None:
        start = int(query(connection).get("page_info", "0"))
        more = start + self.size
        headers = [("X-Next-Cursor", str(more))] if more < self.total else []
        self._json(connection, page_body(self._slice(start, self.size)), *headers)

    def _offset(self, connection: Connection) -> None:
        asked = query(connection)
        self._json(connection, page_body(self._slice(int(asked["skip"]), int(asked.get("take", self.size)))))

    def _numbered(self, connection: Connection) -> None:
        page = int(query(connection)["page"])
        self._json(connection, page_body(self._slice((page - 1) * self.size, self.size)))

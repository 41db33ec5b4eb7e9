#!/usr/bin/env python3
"""Writes the seed corpora below corpus/: all but the files named regression-*, which were found by the fuzzers.

What an input looks like is said at the top of each fuzzer. Run it after a change of this file, and commit both.
"""

import gzip
import pathlib
import struct
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(fuzzer, seeds):
    folder = CORPUS / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("regression-"):
            old.unlink()
    for name, seed in seeds.items():
        (folder / name).write_bytes(seed if isinstance(seed, bytes) else seed.encode())


# --- HTTP/1: options "0" limits as they are, "1" small ones, "2" HEAD, "4" with an exchange; then how it is cut

OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"


def http1():
    replies = {
        "length": OK + "Content-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
        "length-short": OK + "Content-Length: 50\r\n\r\nhello",
        "length-twice": OK + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "length-list": OK + "Content-Length: 5, 5\r\n\r\nhello",
        "length-huge": OK + "Content-Length: 18446744073709551616\r\n\r\nhello",
        "chunked": CHUNKED + "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
        "chunked-trailers": CHUNKED + "A\r\n0123456789\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\n\r\n",
        "chunked-short": CHUNKED + "5\r\nhel",
        "chunked-bad-size": CHUNKED + "0x5\r\nhello\r\n0\r\n\r\n",
        "chunked-bad-end": CHUNKED + "5\r\nhelloX\r\n0\r\n\r\n",
        "chunked-extensions": CHUNKED + "1;aaaaaaaa=\"b\\\"c\"\r\na\r\n" * 3 + "0;z\r\n\r\n",
        "chunked-1-0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "both": OK + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "gzip-chunked": OK + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "until-close": OK + "Connection: close\r\n\r\nall the rest",
        "http-1-0": "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        "no-content": "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "not-modified": "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n",
        "interim": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + OK + "Content-Length: 2\r\n\r\nhi",
        "interims": "HTTP/1.1 102 Processing\r\n\r\n" * 20,
        "switching": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "status-high": "HTTP/1.1 600 No\r\n\r\n",
        "status-short": "HTTP/1.1 20 OK\r\n\r\n",
        "no-reason": "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "folded": OK + "X-A: one\r\n two\r\nContent-Length: 0\r\n\r\n",
        "bare-lf": "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        "bare-cr": OK + "X-A: o\rne\r\nContent-Length: 0\r\n\r\n",
        "nul": OK + "X-A: o\0ne\r\nContent-Length: 0\r\n\r\n",
        "space-before-colon": OK + "Content-Length : 2\r\n\r\nhi",
        "no-colon": OK + "nonsense\r\n\r\n",
        "many-fields": OK + "".join(f"X-{i}: {i}\r\n" for i in range(12)) + "\r\n",
        "long-field": OK + "X-A: " + "a" * 300 + "\r\n\r\n",
        "after-end": OK + "Content-Length: 2\r\n\r\nhi" + OK + "Content-Length: 0\r\n\r\n",
        "not-http": "SSH-2.0-OpenSSH_9.2\r\n",
        "http-0-9": "<html>hello</html>",
        "http-2": "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d",
    }
    seeds = {name: "43" + reply for name, reply in replies.items()}
    for name in ("long-field", "many-fields", "chunked-trailers", "chunked-extensions", "interims"):
        seeds["small-limits-" + name] = "57" + replies[name]
    seeds["head"] = "61" + replies["length"]
    seeds["head-chunked"] = "61" + CHUNKED
    write("http1_response", seeds)


# --- HTTP/2

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name, value):
    """A literal field without indexing (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def settings(**values):
    ids = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "list": 6}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", ids[k], v) for k, v in values.items()))


STATUS_200, STATUS_204, STATUS_304 = b"\x88", b"\x89", b"\x8b"
STATUS_100 = field(":status", "100")


def head(stream, block=STATUS_200, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, block)


def body(stream, data=b"hello", flags=END_STREAM):
    return frame(DATA, flags, stream, data)


def http2():
    hello = settings(streams=100) + frame(SETTINGS, ACK)
    window = frame(WINDOW, 0, 0, struct.pack(">I", 1 << 20)) + frame(WINDOW, 0, 3, struct.pack(">I", 1 << 20))
    all_three = b"".join(head(i) + body(i) for i in (1, 3, 5))
    go_away = frame(GOAWAY, 0, 0, struct.pack(">II", 3, 0) + b"bye")
    cases = {
        "nothing": b"",
        "settings": hello,
        "three": hello + window + all_three,
        "lengths": hello + head(1, STATUS_200 + field("content-length", "5")) + body(1)
        + head(3, STATUS_200 + field("content-length", "6")) + body(3),
        "no-body": hello + head(1, STATUS_204, 5) + head(3, STATUS_304 + field("content-length", "9"), 5),
        "interim": hello + head(1, STATUS_100) + head(1, field(":status", "103")) + all_three,
        "interims": hello + head(1, STATUS_100) * 20,
        "trailers": hello + head(1) + body(1, flags=0) + head(1, field("x-sum", "7"), 5),
        "continuation": hello + frame(HEADERS, 0, 1, STATUS_200) + frame(CONTINUATION, 0, 1, field("a", "b"))
        + frame(CONTINUATION, END_HEADERS, 1, field("c", "d")) + body(1),
        "padded": hello + head(1) + frame(DATA, PADDED | END_STREAM, 1, b"\x04hello\0\0\0\0"),
        "large": hello + head(1) + b"".join(body(1, b"x" * 2000, 0) for _ in range(6)) + body(1),
        "over-window": hello + head(1) + b"".join(body(1, b"x" * 16000, 0) for _ in range(4)),
        "reset": hello + head(1) + frame(RST, 0, 1, struct.pack(">I", 8)) + frame(RST, 0, 3, struct.pack(">I", 7)),
        "http-1-1-required": hello + frame(RST, 0, 1, struct.pack(">I", 13)),
        "early-answer": hello + head(3) + body(3) + frame(RST, 0, 3, struct.pack(">I", 0)),
        "go-away": hello + head(1) + go_away + body(1) + head(3, flags=5),
        "go-away-twice": hello + go_away + frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2)),
        "go-away-first": go_away,
        "ping": hello + frame(PING, 0, 0, b"12345678") * 3 + all_three,
        "ping-flood": hello + frame(PING, 0, 0, b"12345678") * 40,
        "empty-data": hello + head(1) + body(1, b"", 0) * 40,
        "settings-flood": hello + settings(window=65535) * 30,
        "one-stream": settings(streams=1) + all_three,
        "no-streams": settings(streams=0) + all_three,
        "no-window": settings(window=0) + all_three,
        "huge-window": settings(window=(1 << 31) - 1) + frame(WINDOW, 0, 0, struct.pack(">I", (1 << 31) - 1)),
        "bad-window": settings(window=1 << 31),
        "small-table": settings(table=0, frame=16384) + head(1, b"\x20" + STATUS_200 + b"\x40\x01a\x01b") + body(1),
        "dynamic-table": hello + head(1, STATUS_200 + b"\x40\x01a\x01b") + body(1)
        + head(3, STATUS_200 + b"\xbe") + body(3),
        "bad-index": hello + head(1, b"\xff\xff\xff\xff\x07"),
        "push": hello + frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + b"\x82\x84\x86"),
        "priority": hello + frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 16)) + all_three,
        "unknown-frame": hello + frame(77, 0, 1, b"what") + all_three,
        "upper-case": hello + head(1, STATUS_200 + field("X-Upper", "a")),
        "no-status": hello + head(1, field("a", "b")),
        "bad-status": hello + head(1, field(":status", "999")) + head(3, field(":status", "1")),
        "connection-field": hello + head(1, STATUS_200 + field("connection", "close")),
        "data-first": hello + body(1),
        "even-stream": hello + head(2),
        "idle-stream": hello + head(99) + body(99),
        "after-end": hello + head(1) + body(1) + body(1) + head(1),
        "http-1": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    }
    seeds = {name: b"\x00\x07" + case for name, case in cases.items()}
    # Little is taken of what we send; credit, cancels and time between the pieces; an end.
    for name in ("three", "large", "go-away", "continuation", "trailers"):
        seeds["slow-" + name] = b"\x05\x0b" + cases[name]
        seeds["disturbed-" + name] = b"\x0c\x10" + cases[name]
        seeds["blocked-" + name] = b"\x1a\x19" + cases[name]
        seeds["cut-" + name] = b"\x38\x1f" + cases[name]
    write("http2_session", seeds)


# --- Content codings: the first byte has the number of codings less one and, two bits each, which; see the fuzzer

GZIP, DEFLATE, BR, ZSTD = range(4)
# What Python's standard library cannot make, by `brotli` and `zstd`: a text with much and with little effort, 3000 times
# the same letter, and a text without a checksum.
BR_SEEDS = {
    "quick": "0f24807b226e616d65223a2022666574636864222c20226974656d73223a205b312c20322c20335d2c202274657874223a20226f6e65"
    "206f6e65206f6e652074776f2074776f2074776f227d03",
    "small": "1f4800801d07762cb38d2019af2c8f81cc2d55f6d08016898833496133d82c3a5d7d030436e0c8220c0402c5af51a98f3bc4aec9b3"
    "40bb2894f10188e85bc2bc8e03",
    "same": "e27601bf44583c1608c40d0000",
}
ZSTD_SEEDS = {
    "quick": "28b52ffd0448fd010012c40d14b0a90367d8d9976f86298484c4d137515a9a12888d315fcc17f3bd84aef9cbddad216801ad23d4ac"
    "a07be2960da4f81daef91091cc04010034e1a0a3cc79ad",
    "small": "28b52ffd0468dd010092430c11a0edb03383ab4f552655e5dfe120f9ff82f30eb67273d7f18edcd72d4237e802a2e38f71afeb1ea9"
    "d39caee3cc4cbb0c0200800c425c28a3cc79ad",
    "same": "28b52ffd006045000008610100b4c37742",
    "words": "28b52ffd00687d0300c2c71611907de306c90363b16c77891552d3f5c71cfae179ea89ff5215b1f4c0bf55f5e8132f01b8003e0cf0"
    "af2ad727fe112aaf38fe8ece59e6744adf1f71750be33bf99a6d7d076638100e4271f2f4d9dadec15746abbdefe4ed93f0750600808c47f8"
    "8b10d5c66084c11be4bd50",
}


def content_decoder():
    text = b'{"name": "fetchd", "items": [1, 2, 3], "text": "one one one two two two"}'
    noise = bytes(i * i * 7 % 251 for i in range(300))
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw_text = raw.compress(text) + raw.flush()
    member = gzip.compress(text, mtime=0)
    # Name, comment, extra field and header checksum.
    flagged = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x04\0abcdname\0comment\0"
    flagged += struct.pack("<H", zlib.crc32(flagged) & 0xFFFF) + member[10:]
    cases = {
        "gzip": ([GZIP], member),
        "gzip-flags": ([GZIP], flagged),
        "gzip-noise": ([GZIP], gzip.compress(noise, mtime=0)),
        "gzip-stored": ([GZIP], gzip.compress(noise, 0, mtime=0)),
        "gzip-members": ([GZIP], member * 2 + gzip.compress(b"", mtime=0)),
        "gzip-many-members": ([GZIP], gzip.compress(b"", mtime=0) * 8),
        "gzip-short": ([GZIP], member[:-5]),
        "gzip-bad-sum": ([GZIP], member[:-8] + b"\0\0\0\0" + member[-4:]),
        "gzip-after-end": ([GZIP], member + b"more"),
        "gzip-bomb": ([GZIP], gzip.compress(b"\0" * 200_000, mtime=0)),
        "zlib": ([DEFLATE], zlib.compress(text)),
        "zlib-fast": ([DEFLATE], zlib.compress(text * 3, 1)),
        "zlib-bad-sum": ([DEFLATE], zlib.compress(text)[:-1] + b"\0"),
        "raw": ([DEFLATE], raw_text),
        "raw-after-end": ([DEFLATE], raw_text + b"x"),
        "zstd-frames": ([ZSTD], bytes.fromhex(ZSTD_SEEDS["quick"] + ZSTD_SEEDS["same"])),
        "zstd-skippable": ([ZSTD], b"\x50\x2a\x4d\x18\x03\0\0\0abc" + bytes.fromhex(ZSTD_SEEDS["small"])),
        "gzip-twice": ([GZIP, GZIP], gzip.compress(member, mtime=0)),
        "gzip-thrice": ([GZIP] * 3, gzip.compress(gzip.compress(member, mtime=0), mtime=0)),
        "zlib-in-gzip": ([DEFLATE, GZIP], gzip.compress(zlib.compress(noise), mtime=0)),
        "br-in-gzip": ([BR, GZIP], gzip.compress(bytes.fromhex(BR_SEEDS["small"]), mtime=0)),
        "zstd-in-zlib-in-gzip": ([ZSTD, DEFLATE, GZIP],
                                 gzip.compress(zlib.compress(bytes.fromhex(ZSTD_SEEDS["words"])), mtime=0)),
        "empty": ([GZIP], b""),
    }
    cases |= {f"br-{name}": ([BR], bytes.fromhex(seed)) for name, seed in BR_SEEDS.items()}
    cases |= {f"zstd-{name}": ([ZSTD], bytes.fromhex(seed)) for name, seed in ZSTD_SEEDS.items()}
    seeds = {}
    for name, (codings, coded) in cases.items():
        which = len(codings) - 1 + sum(coding << (2 + 2 * i) for i, coding in enumerate(codings))
        # An even byte of cuts has the usual limits, an odd one small ones.
        seeds[name] = bytes([which, 0x22]) + coded
        if "members" in name or "bomb" in name or "thrice" in name:
            seeds["small-limits-" + name] = bytes([which, 0x23]) + coded
    write("content_decoder", seeds)


# --- Texts


def link_header():
    write("link_header", {
        "next": "next\n<https://a.test/2>; rel=\"next\", <https://a.test/9>; rel=\"last\"",
        "two-fields": "last\n</2>; rel=next\n</9>; rel=last",
        "loose": "next\n</2>;rel=next;;title=a/b=c , ,",
        "types": "NEXT\n<?p=2>; rel=\"prev next\"; rel=\"first\"",
        "anchor": "next\n</2>; rel=next; anchor=\"#a\", </3>; rel=next; anchor=\"\"",
        "quoted": "next\n</2,;>; title=\"a\\\"b, <c>; d\"; rel=next",
        "blank-target": "next\n< /2 >; rel=next",
        "no-bracket": "next\n</2; rel=next",
        "no-quote": "next\n</2>; rel=\"next",
        "no-name": "next\n</2>; =next",
        "not-a-link": "next\nhello",
        "empty": "\n\n",
        "extended": "next\n</2>; title*=UTF-8''%e2%82%ac; rel=next; media=\"a\"; type=b/c",
    })


def set_cookie():
    write("set_cookie", {
        "plain": "a=1\nb=2; Path=/dir; Secure; HttpOnly; SameSite=Lax",
        "attributes": "a=1; Max-Age=60; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Domain=.a.test; Path=/\n@https://x.a.test/",
        "dates": "".join(f"c{i}=1; Expires={date}\n" for i, date in enumerate((
            "Wed, 21 Oct 2026 07:28:00 GMT", "Wednesday, 21-Oct-26 07:28:00 GMT", "Wed Oct 21 07:28:00 2026",
            "21 oct 1601 0:0:0", "31 Feb 2027 00:00:00", "1 Jan 99999 1:2:3", "07:28:60 21 Oct 2026"))),
        "domains": "a=1; Domain=a.test\nb=2; Domain=test\nc=3; Domain=other.test\nd=4; Domain=..a.test\ne=5; Domain=",
        "suffixes": "@https://a.co.uk/\na=1; Domain=co.uk\n@https://co.uk/\nb=1; Domain=co.uk\n@https://com/\nc=1;Domain=com",
        "prefixes": "__Secure-a=1; Secure\n__Host-b=1; Secure; Path=/\n__host-c=1; Secure; Path=/x\n=__Host-d=1",
        "overlay": "a=1; Secure\n@http://www.a.test/dir/page\na=2\na=3; Path=/dir/page\n@https://www.a.test/",
        "address": "@http://192.0.2.1/\na=1; Domain=192.0.2.1\nb=1; Domain=2.1\n@http://[::1]/\nc=1; Domain=::1",
        "odd": "=\n=v\nn=\nn\n;\n; a=b\na==b;;; ;Path\n\ta = b \t; path = /x ",
        "quoted": "a=\"b; c\"; Path=\"/\"",
        "control": "a=b\0c\nd=e\tf\ng=h\rj",
        "long-name": "n" * 2100 + "=" + "v" * 2000,
        "long-path": "a=1; Path=/" + "p" * 1100,
        "many": "".join(f"c{i}=1\n" for i in range(60)),
        "expiry": "a=1; Max-Age=1\nb=2; Max-Age=-5\nc=3; Max-Age=99999999999999999999\nd=4; Max-Age=0x1\n+!\n@https://www.a.test/",
        "deleted": "a=1\na=; Max-Age=0\n@https://www.a.test/dir/",
        "paths": "a=1; Path=/dir/\nb=2; Path=/di\nc=3; Path=dir\n@https://www.a.test/dir?x\n@https://www.a.test/direct",
    })


def url():
    write("url", {
        "plain": "https://a.test/p?q=1\n../x?y#z\nq\n2",
        "odd": "HTTP://Ex_Ample.Test:80/%7euser/../a%2fb?x=%zz&y#frag\n//b.test:8443\npage\na b&c=d",
        "ipv4": "http://192.0.2.1:8080/\n?\n\n",
        "ipv4-like": "http://0x7f.1/\n",
        "ipv6": "http://[2001:DB8::0:1]/a\n/b\nx\ny",
        "ipv6-zone": "http://[fe80::1%25eth0]/\n",
        "ipv6-mapped": "http://[::ffff:192.0.2.1]:443\nhttps://[::1]/\n",
        "no-path": "https://a.test?x=1\n#\nx\n",
        "user": "http://user:pass@a.test/\n",
        "port-zero": "http://a.test:0/\n",
        "port-empty": "http://a.test:/\nhttp://b.test:65536/\n",
        "dots": "http://a.test/a/./b/../../../c/..\n../../..\n",
        "dot-end": "http://a.test./\n.\n",
        "scheme": "ftp://a.test/\n",
        "relative": "/a/b\n",
        "encoded": "http://a.test/%41%2E%2e/%\n%2e%2e/x\na%3db\n%26",
        "params": "http://a.test/?a=1&b=2&a=3&=&&c\n;x\na\n4",
        "empty-parts": "http://a.test//b///c?&&\n///x\n\n=",
        "quotes": "http://a.test/<\"'>`{|}^\\\n\\\\b\\c\n<\n\"",
        "non-ascii": "http://b\u00fccher.test/\u00fc\n",
        "idna": "https://xn--bcher-kva.test/\nhttp:x\n",
    })


def main():
    http1()
    http2()
    content_decoder()
    link_header()
    set_cookie()
    url()


if __name__ == "__main__":
    main()

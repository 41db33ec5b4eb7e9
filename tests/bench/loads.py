"""The loads, by name. What they mean is in README.md."""
import dataclasses

from origins import FILES, ITEMS_PER_PAGE, PAGES

MANY = 10000


@dataclasses.dataclass(frozen=True)
class Load:
    name: str
    rpc: str  # fetch, batch, stream or paged
    url: str
    concurrency: int
    flags: dict = dataclasses.field(default_factory=dict)  # More flags of the load generator.
    alone: bool = False  # Of fetchd alone.
    growth: bool = False  # Of fetchd alone, with room for more connections.
    warmup: float = 0  # Needed at least, in seconds.

    @property
    def per_gb(self):
        return self.rpc == "stream"

    def generator_flags(self, origins):
        flags = {"rpc": self.rpc, "url": origins.url(self.url), "concurrency": self.concurrency, **self.flags}
        if "failing_url" in flags:
            flags["failing_url"] = origins.url(flags["failing_url"])
        return [f"--{name}={value}" for name, value in flags.items()]


@dataclasses.dataclass(frozen=True)
class MemoryLoad:
    """RSS of a fresh fetchd before and after it holds `count` of something, divided by `count`."""
    name: str
    url: str
    of: str  # The column: origin, connection or fetch.
    flags: dict
    hold: bool  # Sampled while the calls still wait, or after all of them ended.
    count: int = MANY
    growth = True
    alone = True


SLOW = {"ramp": 1}
LOADS = [
    Load("unary-1k-c1", "fetch", "{http}/1k", 1),
    Load("unary-1k-c64", "fetch", "{http}/1k", 64),
    Load("unary-1k-c512", "fetch", "{http}/1k", 512),
    Load("unary-64k-c64", "fetch", "{http}/64k.bin", 64, {"body_bytes": FILES["64k.bin"]}),
    Load("batch-100", "batch", "{http}/1k", 8, {"batch": 100}),
    Load("batch-100-10pct-fail", "batch", "{http}/1k", 8, {"batch": 100, "failing": 10, "failing_url": "{refusing}/1k"}),
    Load("stream-256m-c1", "stream", "{http}/256m.bin", 1, {"body_bytes": FILES["256m.bin"]}),
    Load("stream-256m-c4", "stream", "{http}/256m.bin", 4, {"body_bytes": FILES["256m.bin"]}),
    Load("paged-100x100", "paged", "{http}/pages/{page}.json", 4, {"pages": PAGES, "items_per_page": ITEMS_PER_PAGE}),
    Load("tls-kept", "fetch", "{tls}/1k", 64),
    Load("tls-new", "fetch", "{tls_new}/1k", 16, {"count_marker": "tls-session=r"}),
    Load("origins-1000", "fetch", "{many}/1k", 64, {"origins": 1000}, warmup=1),
    # The same by HTTP/2: to be compared with unary-1k-c64, stream-256m-c1 and tls-kept.
    Load("h2-1k-c64", "fetch", "{h2c}/1k", 64, {"http2": "true"}, alone=True),
    Load("h2-stream-256m-c1", "stream", "{h2c}/256m.bin", 1, {"http2": "true", "body_bytes": FILES["256m.bin"]}, alone=True),
    Load("h2-tls-kept", "fetch", "{tls_h2}/1k", 64, alone=True),
    # Growth: the same work, more of it at once.
    Load("origins-1", "fetch", "{many}/1k", 64, {"origins": 1}, growth=True),
    Load("origins-10000", "fetch", "{many}/1k", 64, {"origins": MANY}, growth=True, warmup=4),
    Load("inflight-64", "fetch", "{slow}/1000", 64, SLOW, growth=True, warmup=2.5),
    Load("inflight-64-same-rate", "fetch", "{slow}/6", 64, growth=True, warmup=1),
    Load("inflight-10000", "fetch", "{slow}/1000", MANY, SLOW, growth=True, warmup=3),
    Load("batch-1000", "batch", "{http}/1k", 8, {"batch": 1000}, growth=True),
    # fetchd remembers no more than 4096 origins without a connection.
    MemoryLoad("mem-idle-origin", "{many}/close", "origin", {"concurrency": 64, "origins": 4000}, hold=False, count=4000),
    MemoryLoad("mem-idle-connection", "{many}/1k", "connection", {"concurrency": 64, "origins": MANY}, hold=False),
    MemoryLoad("mem-waiting-fetch", "{slow}/8000", "fetch", {"concurrency": MANY, "ramp": 2}, hold=True),
]
BY_NAME = {load.name: load for load in LOADS}

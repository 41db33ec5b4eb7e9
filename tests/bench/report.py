"""The table, and whether the ratios asked for are met."""


def cpu(row):
    return row.get("cpu_us_per_fetch", row.get("cpu_s_per_gb"))


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


COLUMNS = ["load", "server", "CPU us/fetch", "CPU s/GB", "to fetchd's", "fetches/s", "GB/s", "p50 us", "p99 us", "p99.9 us",
           "peak RSS MiB", "other", "rounds", "notes"]


def notes(row):
    said = []
    if row["noisy"]:
        said.append("NOISY: no quiet round")
    if row["rounds_thrown"]:
        said.append(f"{row['rounds_thrown']} thrown away")
    if row["errors"]:
        said.append(f"{row['errors']} errors: {row['first_error'][:60]}")
    if "resumed_share" in row:
        said.append(f"{row['resumed_share']:.0%} resumed")
    return ", ".join(said)


def markdown(rows):
    """One table of all rows that have a CPU figure, then one line for each memory figure."""
    measured = [r for r in rows if cpu(r) is not None]
    lines = []
    if measured:
        lines += ["| " + " | ".join(COLUMNS) + " |", "|---|---|" + "--:|" * 11 + "---|"]
    for row in measured:
        base = next((r for r in measured if r["load"] == row["load"] and r["server"] == "fetchd"), None)
        ratio = cpu(row) / cpu(base) if base and cpu(base) else None
        # A latency of 0 means that no call began and ended within the interval.
        latency = [number(row[p] or None) for p in ("p50_us", "p99_us", "p999_us")]
        lines.append("| " + " | ".join([
            row["load"], row["server"], number(row.get("cpu_us_per_fetch"), 1), number(row.get("cpu_s_per_gb"), 2),
            number(ratio, 2), number(row.get("fetches_per_s")), number(row.get("gb_per_s"), 2), *latency,
            number(row["rss_peak_mib"], 1), number(row["other_util"] + row["steal_util"], 2), str(row["rounds_kept"]),
            notes(row)]) + " |")
    for row in rows:
        lines += [f"{row['load']}, {row['server']}: {value:.2f} KiB of RSS for each {name[12:].replace('_', ' ')}"
                  for name, value in row.items() if name.startswith("rss_kib_")]
    return "\n".join(lines)


def targets(rows):
    """A line for each aim that the rows can answer: what it is, what was measured, met or not."""
    found = {(r["load"], r["server"]): r for r in rows}
    lines = []

    def aim(text, value, limit, at_least=False):
        if value is not None:
            met = value >= limit if at_least else value <= limit
            lines.append(f"{'met   ' if met else 'MISSED'} {text}: {value:.3f} ({'>=' if at_least else '<='} {limit:.3f})")

    def ratio(field, load, other, other_load=None, server="fetchd"):
        a, b = found.get((load, server)), found.get((other_load or load, other))
        values = [cpu(r) if field == "cpu" else r.get(field) for r in (a, b) if r]
        return values[0] / values[1] if len(values) == 2 and values[0] and values[1] else None

    fast = ("cpp_libcurl", "go_nethttp")
    for peer in fast:
        aim(f"unary-1k-c64, CPU to {peer}", ratio("cpu", "unary-1k-c64", peer), 0.5)
    aim("unary-1k-c64, CPU to python_aiohttp", ratio("cpu", "unary-1k-c64", "python_aiohttp"), 1 / 12)
    aim("unary-1k-c64, CPU to python_httpx", ratio("cpu", "unary-1k-c64", "python_httpx"), 1 / 30)
    for peer, limit in zip(fast, (0.2, 0.3)):
        aim(f"batch-100, CPU to {peer}", ratio("cpu", "batch-100", peer), limit)
    for peer in fast:
        aim(f"stream-256m-c4, CPU to {peer}", ratio("cpu", "stream-256m-c4", peer), 0.5)
        aim(f"stream-256m-c4, GB/s to {peer}", ratio("gb_per_s", "stream-256m-c4", peer), 1.7, at_least=True)
    aim("unary-1k-c1, p50 to cpp_libcurl", ratio("p50_us", "unary-1k-c1", "cpp_libcurl"), 0.7)
    aim("unary-1k-c512, peak RSS in MiB", found.get(("unary-1k-c512", "fetchd"), {}).get("rss_peak_mib"), 48)
    aim("KiB for an idle origin", found.get(("mem-idle-origin", "fetchd"), {}).get("rss_kib_per_origin"), 8)
    aim("KiB for a waiting fetch", found.get(("mem-waiting-fetch", "fetchd"), {}).get("rss_kib_per_fetch"), 32)
    peers = [r for r in rows if r["load"] == "unary-1k-c64" and not r["server"].startswith("fetchd")]
    best = min(peers, key=lambda r: r["p99_us"] or 1e12, default=None)
    if best:
        aim(f"unary-1k-c64, p99 to the best peer's ({best['server']})",
            ratio("p99_us", "unary-1k-c64", best["server"]), 1.0)
    for many, few, limit in (("origins-10000", "origins-1", 1.5), ("inflight-10000", "inflight-64", 1.5),
                             ("inflight-10000", "inflight-64-same-rate", 1.5), ("batch-1000", "batch-100", 1.2)):
        aim(f"{many}, CPU to {few}", ratio("cpu", many, "fetchd", few), limit)
    aim("unary by HTTP/2, CPU to HTTP/1.1", ratio("cpu", "h2-1k-c64", "fetchd", "unary-1k-c64"), 1.3)
    aim("unary by HTTP/2 over TLS, CPU to HTTP/1.1", ratio("cpu", "h2-tls-kept", "fetchd", "tls-kept"), 1.3)
    aim("256 MiB by HTTP/2, CPU to HTTP/1.1", ratio("cpu", "h2-stream-256m-c1", "fetchd", "stream-256m-c1"), 1.25)
    aim("tls-kept, CPU to cpp_libcurl", ratio("cpu", "tls-kept", "cpp_libcurl"), 0.6)
    aim("tls-new, CPU to cpp_libcurl", ratio("cpu", "tls-new", "cpp_libcurl"), 1.1)
    aim("tls-new, share of sessions resumed", found.get(("tls-new", "fetchd"), {}).get("resumed_share"), 0.9, at_least=True)
    aim("1,000 origins with two engine threads, fetches/s to one",
        ratio("fetches_per_s", "origins-1000", "fetchd", server="fetchd-2"), 1.0, at_least=True)
    aim("one origin with two engine threads, CPU to one", ratio("cpu", "unary-1k-c64", "fetchd", server="fetchd-2"), 1.1)
    return "\n".join(lines)

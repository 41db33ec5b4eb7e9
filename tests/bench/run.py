#!/usr/bin/env python3
"""Runs fetchd and its peers side by side and prints one Markdown table: ./dev bench [OPTIONS].

Rounds are interleaved: each round of a load runs every server for --seconds, one at a time, beginning with another one
each time. A round during which other work or the host took more than --quiet cores is thrown away and run again, at
most --rounds times for each server and load. The figure of a row is its least CPU time per fetch (or GB); rates and
latencies are those of the same round.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

import report
from loads import BY_NAME, LOADS, MemoryLoad
from origins import Origins
from servers import LOOPS, PEERS, Servers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0])
    listing = lambda text: [name for name in text.split(",") if name]
    p.add_argument("--loads", type=listing, default=[load.name for load in LOADS], metavar="A,B",
                   help="default: all. " + ", ".join(BY_NAME))
    p.add_argument("--servers", type=listing, default=["fetchd", *PEERS], metavar="A,B",
                   help="default: all of fetchd, %s. fetchd-N is fetchd with N engine threads. Also %s: the same engine "
                        "in other arrangements of threads" % (", ".join(PEERS), ", ".join(LOOPS)))
    p.add_argument("--also", action="append", default=[], metavar="NAME=FETCHD",
                   help="another binary of fetchd, to compare before and after; may be repeated")
    p.add_argument("--rounds", type=int, default=5, help="rounds of each load (default 5)")
    p.add_argument("--seconds", type=float, default=2, help="measured in each round (default 2)")
    p.add_argument("--warmup", type=float, default=0.5, help="before it (default 0.5; 1 s more in the first round)")
    p.add_argument("--quiet", type=float, default=0.2, metavar="CORES",
                   help="other load, or time stolen by the host, that spoils a round (default 0.2)")
    p.add_argument("--json", metavar="FILE", help='also write {"rows": [...]} there')
    p.add_argument("--targets", action="store_true", help="also say which of the ratios aimed at are met")
    p.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", metavar="DIR",
                   help="fetchd, bench_loadgen, bench_loops, bench_slow_origin, peer_libcurl (default build/release/bin)")
    a = p.parse_args()
    for name in a.loads:
        if name not in BY_NAME:
            p.error(f"no such load: {name}")
    a.also = dict(pair.split("=", 1) for pair in a.also)
    a.servers += [name for name in a.also if name not in a.servers]
    return a


class Bench:
    def __init__(self, args, origins, servers):
        self.args, self.origins, self.servers = args, origins, servers
        self.rows = []

    def generator(self, server, flags):
        return subprocess.Popen(
            [self.args.bin / "bench_loadgen", f"--target=127.0.0.1:{server.port}", f"--api={server.api}",
             f"--pid={server.pid}", "--origin_pids=" + ",".join(map(str, self.origins.pids)), *flags],
            stdout=subprocess.PIPE, text=True)

    def generate(self, server, flags):
        """Runs the load generator to its end; its line of JSON, or None if it had none to say."""
        process = self.generator(server, flags)
        try:
            out = process.communicate(timeout=self.args.seconds + 120)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        result = json.loads(out) if out.strip() else None
        if result and not result["fetches"] and not result["gb_per_s"]:
            result.update(errors=1, first_error=result["first_error"] or "nothing came back")
        return result

    def measure(self, load, names):
        """All rounds of one load; adds a row for each server that answered."""
        running, kept, thrown = [], {n: [] for n in names}, {n: [] for n in names}
        try:
            for name in names:
                running.append(self.servers.start(name, load.growth))
            for number in range(2 * self.args.rounds):
                waiting = [s for s in running if len(kept[s.name]) < self.args.rounds]
                turn = number % max(1, len(waiting))
                for server in waiting[turn:] + waiting[:turn]:
                    result = self.round(load, server, number)
                    if result is None:
                        print(f"bench: {load.name}: {server.name} did not answer; left out", file=sys.stderr)
                        running.remove(server)
                        server.stop()
                        continue
                    loud = max(result["other_util"], result["steal_util"]) > self.args.quiet
                    (thrown if loud else kept)[server.name].append(result)
        finally:
            for server in running:
                server.stop()
        for name in names:
            if kept[name] or thrown[name]:
                self.rows.append(self.row(load, name, kept[name], thrown[name]))

    def round(self, load, server, number):
        warmup = max(load.warmup, self.args.warmup + (1 if number == 0 else 0))
        flags = load.generator_flags(self.origins) + [f"--seconds={self.args.seconds}", f"--warmup={warmup}"]
        result = self.generate(server, flags)
        if result:
            cost = (f"{result['cpu_s_per_gb']:.2f} s/GB, {result['gb_per_s']:.2f} GB/s" if load.per_gb else
                    f"{result['cpu_us_per_fetch']:.1f} us/fetch, {result['fetches_per_s']:,.0f}/s")
            wrong = f", {result['errors']} errors: {result['first_error']}" if result["first_error"] else ""
            print(f"  {load.name} {server.name} round {number + 1}: {cost}, other {result['other_util']:.2f}, "
                  f"steal {result['steal_util']:.2f}{wrong}", file=sys.stderr, flush=True)
        return result

    @staticmethod
    def row(load, name, kept, thrown):
        field, unused = "cpu_us_per_fetch", "cpu_s_per_gb"
        if load.per_gb:
            field, unused = unused, field
        good = kept or sorted(thrown, key=lambda r: r["other_util"] + r["steal_util"])[:1]
        # A round in which nothing came back has no cost per fetch.
        best = min(good, key=lambda r: r[field] or 1e12)
        row = {"load": load.name, "server": name, **{k: v for k, v in best.items() if k not in (unused, "marked", "calls")}}
        if load.per_gb:
            row["fetches_per_s"] = None  # Streams are counted by bytes.
        else:
            del row["gb_per_s"]
        if "count_marker" in load.flags:
            row["resumed_share"] = best["marked"] / best["calls"] if best["calls"] else 0
        row["rss_peak_mib"] = max(r["rss_peak_mib"] for r in kept + thrown)
        row["errors"] = sum(r["errors"] for r in good)
        row["first_error"] = next((r["first_error"] for r in good if r["first_error"]), "")
        row.update(rounds_kept=len(kept), rounds_thrown=len(thrown), noisy=not kept)
        return row

    def measure_memory(self, load, names):
        for name in names:
            server = self.servers.start(name, grown=True)
            try:
                flags = [f"--url={self.origins.url(load.url)}", *(f"--{k}={v}" for k, v in load.flags.items())]
                # What the first fetches cost is not a cost of each: threads, caches, the allocator's arenas.
                self.generate(server, [f"--url={self.origins.url('{http}/1k')}", "--calls=5000", "--concurrency=64"])
                before = server.rss_kib()
                if load.hold:
                    process = self.generator(server, [*flags, f"--calls={load.count}"])
                    time.sleep(load.flags["ramp"] + 3)
                    after, connections = server.rss_kib(), server.open_files()
                    process.kill()
                    process.communicate()
                    if connections < load.count:
                        print(f"bench: {load.name}: {name} held only {connections} connections", file=sys.stderr)
                        continue
                else:
                    result = self.generate(server, [*flags, f"--calls={load.count}"])
                    if not result or result["errors"]:
                        print(f"bench: {load.name}: {result and result['first_error']}", file=sys.stderr)
                        continue
                    time.sleep(0.5)
                    after = server.rss_kib()
                self.rows.append({"load": load.name, "server": name, "count": load.count, "rss_mib": after / 1024,
                                  f"rss_kib_per_{load.of}": (after - before) / load.count})
            finally:
                server.stop()

    def run(self, loads, names):
        ours = [n for n in names if self.servers.is_fetchd(n)]
        for load in loads:
            able = ours if load.growth or load.alone else names
            if not able:
                continue
            print(f"{load.name}:", file=sys.stderr, flush=True)
            try:
                (self.measure_memory if isinstance(load, MemoryLoad) else self.measure)(load, able)
            except RuntimeError as e:
                print(f"bench: {load.name}: {e}", file=sys.stderr)


def main():
    args = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    also = {name: pathlib.Path(path).resolve() for name, path in args.also.items()}
    with tempfile.TemporaryDirectory(prefix="fetchd-bench-") as folder:
        with Origins(folder, args.bin / "bench_slow_origin") as origins:
            servers = Servers(args.bin, args.bin.parent / "bench_peers", folder, origins.ca_file, also)
            bench = Bench(args, origins, servers)
            names = servers.prepare(args.servers)
            try:
                bench.run([BY_NAME[name] for name in args.loads], names)
            except KeyboardInterrupt:
                print("bench: interrupted; this is what there is", file=sys.stderr)
    print(report.markdown(bench.rows))
    thrown = sum(r.get("rounds_thrown", 0) for r in bench.rows)
    if thrown:
        print(f"\n{thrown} rounds were thrown away: more than {args.quiet} cores of other load or steal.")
    if args.targets:
        print("\n" + report.targets(bench.rows))
    if args.json:
        about = {"cores": os.cpu_count(), "system": platform.platform(), "rounds": args.rounds, "seconds": args.seconds}
        pathlib.Path(args.json).write_text(json.dumps({"about": about, "rows": bench.rows}, indent=1) + "\n")
    return 1 if not bench.rows or any(r.get("errors") for r in bench.rows) else 0


if __name__ == "__main__":
    sys.exit(main())

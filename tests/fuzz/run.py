#!/usr/bin/env python3
"""Runs the fuzzers two at a time and says how far they came: `./dev fuzz`.

Ends with 1 if one of them found something; the input is kept below build/fuzz/found. What is new to the coverage is kept
in build/fuzz/corpus, so that the next run goes on from there.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "fuzz"
# Inputs larger than this tell nothing that smaller ones do not.
MAX_SIZE = {"http2_session": 32768}
TAIL = 60


def run(name, seconds):
    """True if it ran clean; prints a line, and the end of what the fuzzer said if it did not."""
    grown = BUILD / "corpus" / name
    found = BUILD / "found"
    grown.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    command = [
        BUILD / "tests" / "fuzz" / f"fuzz_{name}", f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=1024",
        f"-max_len={MAX_SIZE.get(name, 4096)}", f"-artifact_prefix={found}/{name}-", "-print_final_stats=1",
    ]
    dictionary = HERE / f"{name}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    command += [grown, HERE / "corpus" / name]
    environment = os.environ | {
        "ASAN_OPTIONS": "quarantine_size_mb=64:detect_stack_use_after_return=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "LSAN_OPTIONS": f"suppressions={HERE.parent / 'lsan.supp'}:print_suppressions=0",
    }
    log = BUILD / f"{name}.log"
    with open(log, "wb") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    text = log.read_text(errors="replace")
    done = re.search(r"Done (\d+) runs in (\d+) second", text)
    coverage = re.findall(r"cov: (\d+)", text)
    took = f"{done[1]} runs in {done[2]} s" if done else "not done"
    print(f"{name}: {'clean' if code == 0 else 'FAILED'}, {took}, coverage {coverage[-1] if coverage else 0}", flush=True)
    if code != 0:
        print("\n".join(text.splitlines()[-TAIL:]), flush=True)
    return code == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=int, nargs="?", default=600, help="of each fuzzer (600)")
    parser.add_argument("fuzzers", nargs="*", help="which ones (all)")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (2)")
    args = parser.parse_args()
    known = sorted(path.stem for path in HERE.glob("*.cc"))
    if unknown := set(args.fuzzers) - set(known):
        parser.error(f"no such fuzzer: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        clean = list(pool.map(lambda name: run(name, args.seconds), args.fuzzers or known))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())

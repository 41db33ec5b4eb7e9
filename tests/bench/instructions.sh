#!/usr/bin/env bash
# Instructions that fetchd executes for one fetch, by callgrind: compare the figure before and after a change. Two runs of
# different length are subtracted, so start and end do not count. Instructions do not know of caches or of the kernel,
# but they hardly vary between runs, whatever else the machine does.
#   instructions.sh [-b BIN_DIR] [-r fetch|batch] [-c CONCURRENCY] [-n FETCHES] [-t]
#     -b  folder of fetchd, bench_loadgen, bench_slow_origin (build/release/bin)
#     -r  unary fetches of 1 KiB (default), or batches of 100 of them
#     -c  calls in flight (16; of batches 2)
#     -n  difference of the two runs, in fetches (4000)
#     -t  also list the functions that took most
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../../build/release/bin rpc=fetch concurrency='' fetches=4000 top=''
while getopts b:r:c:n:t option; do
  case $option in
    b) bin=$OPTARG ;;
    r) rpc=$OPTARG ;;
    c) concurrency=$OPTARG ;;
    n) fetches=$OPTARG ;;
    t) top=1 ;;
    *) sed -n '2,/^set/{/^#/p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
done
case $rpc in
  fetch) per_call=1 concurrency=${concurrency:-16} ;;
  batch) per_call=100 concurrency=${concurrency:-2} ;;
  *) echo "instructions.sh: -r is fetch or batch" >&2; exit 2 ;;
esac
command -v valgrind >/dev/null || { echo "instructions.sh: valgrind is not installed" >&2; exit 1; }

dir=$(mktemp -d)
origin_pid=''
cleanup() {
  # In a file, for run() is run in subshells.
  [ ! -f "$dir/pid" ] || kill -9 "$(cat "$dir/pid")" 2>/dev/null || true
  [ -z "$origin_pid" ] || kill "$origin_pid" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
wait_for() { # wait_for FILE PATTERN: up to 60 s
  local end=$((SECONDS + 60))
  until grep -q "$2" "$1" 2>/dev/null; do
    [ $SECONDS -lt $end ] || { echo "instructions.sh: nothing came up" >&2; cat "$dir"/*.log >&2; exit 1; }
    sleep 0.1
  done
}

"$bin/bench_slow_origin" >"$dir/origin" &
origin_pid=$!
wait_for "$dir/origin" port=
url=http://127.0.0.1:$(sed -n 's/^port=//p' "$dir/origin")/0
cat >"$dir/fetchd.yaml" <<END
listen: ["127.0.0.1:0"]
ops: {listen: "127.0.0.1:0"}
guard: {allow_cidrs: ["127.0.0.0/8"]}
drain: {pause: 0s}
END

load() { # load NAME CALLS
  "$bin/bench_loadgen" --target="127.0.0.1:$(sed -n 's/^grpc=//p' "$dir/ports")" --rpc="$rpc" --batch=100 \
    --url="$url" --calls="$2" --concurrency="$concurrency" >"$dir/$1.json" ||
    { echo "instructions.sh: fetches failed" >&2; cat "$dir/$1.json" >&2; exit 1; }
}

# run NAME CALLS [UNCOUNTED CALLS BEFORE]: the total is the "summary:" of callgrind's file.
run() {
  local fetchd_pid
  rm -f "$dir/ports"
  valgrind --tool=callgrind --callgrind-out-file="$dir/$1.callgrind" --fair-sched=yes \
    --instr-atstart="$([ $# = 3 ] && echo no || echo yes)" \
    "$bin/fetchd" --config="$dir/fetchd.yaml" --port_file="$dir/ports" >"$dir/$1.log" 2>&1 &
  fetchd_pid=$!
  echo "$fetchd_pid" >"$dir/pid"
  wait_for "$dir/ports" grpc=
  if [ $# = 3 ]; then
    load "$1" "$3"
    callgrind_control -i on "$fetchd_pid" >/dev/null 2>&1
  fi
  load "$1" "$2"
  kill "$fetchd_pid"
  wait "$fetchd_pid" || true
  rm "$dir/pid"
  awk '/^(summary|totals):/ {n = $2} END {print n}' "$dir/$1.callgrind"
}
calls=$((fetches / per_call))
warm=$((calls / 4 > 0 ? calls / 4 : 1))
few=$(run few "$warm")
many=$(run many $((warm + calls)))
echo "$rpc, c=$concurrency: $(((many - few) / (calls * per_call))) instructions per fetch"
[ -n "$top" ] || exit 0
run top "$calls" "$warm" >/dev/null
callgrind_annotate --threshold=80 "$dir/top.callgrind" | awk '/file:function/ {on = 1} on && n++ < 60'

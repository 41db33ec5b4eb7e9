#!/usr/bin/env bash
# Runs real fetches through a real fetchd against a local nginx, and prints what happens. Everything is on loopback and
# is stopped and removed at the end.
#   demo.sh BIN_DIR
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
dir=$(mktemp -d)
nginx_pid='' fetchd_pid=''
cleanup() {
  [ -z "$fetchd_pid" ] || { kill "$fetchd_pid" && wait "$fetchd_pid"; } 2>/dev/null || true
  [ -z "$nginx_pid" ] || { kill "$nginx_pid" && wait "$nginx_pid"; } 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; }
until_true() { # until_true WHAT COMMAND...: up to 10 s
  local what=$1 end=$((SECONDS + 10)); shift
  until "$@" 2>/dev/null; do
    [ $SECONDS -lt $end ] || { echo "demo: $what did not start" >&2; cat "$dir"/*.log >&2; exit 1; }
    read -rt 0.05 <> <(:) || true
  done
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
rss() { awk '/^VmRSS/ {printf "%.1f MiB", $2 / 1024}' "/proc/$fetchd_pid/status"; }

# A local origin: Debian's package catalogue in 12 pages of 100, and a large file.
mkdir -p "$dir/www/packages"
python3 "$here/make_pages.py" "$dir/www/packages" 12 100
truncate -s 256M "$dir/www/large.bin"
chmod -R a+rX "$dir"
port=$(free_port)
sed -e "s#@DIR@#$dir#g" -e "s#@PORT@#$port#g" "$here/origin.conf" >"$dir/nginx.conf"
PATH=$PATH:/usr/sbin nginx -c "$dir/nginx.conf" -e "$dir/nginx-error.log" >"$dir/nginx.log" 2>&1 &
nginx_pid=$!
until_true "the origin" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
origin="http://127.0.0.1:$port"

# fetchd refuses private addresses unless the config names them: here, loopback.
cat >"$dir/fetchd.yaml" <<EOF
listen: ["127.0.0.1:0"]
ops: {listen: "127.0.0.1:0"}
guard: {allow_cidrs: ["127.0.0.0/8"]}
EOF
"$bin/fetchd" --config="$dir/fetchd.yaml" --port_file="$dir/ports" >"$dir/fetchd.log" 2>&1 &
fetchd_pid=$!
until_true fetchd test -s "$dir/ports"
FETCHD_TARGET="127.0.0.1:$(sed -n 's/^grpc=//p' "$dir/ports")"
export FETCHD_TARGET
ctl="$bin/fetchctl"
start=$EPOCHREALTIME
seconds() { awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.2f s", b - a}'; }
echo "fetchd on $FETCHD_TARGET (RSS $(rss)), origin on $origin"

say "1. Fetch: one response"
show fetchctl get -i "$origin/packages/1.json"
"$ctl" get -i "$origin/packages/1.json" | cut -c1-100 | sed -n '1,12p'
show fetchctl get -i "$origin/missing  # an HTTP 404 is a response, not an error"
"$ctl" get -i "$origin/missing"
echo
nobody=$(free_port)
show fetchctl get "http://127.0.0.1:$nobody/  # nobody listens there"
"$ctl" get "http://127.0.0.1:$nobody/" || echo "(exit code $?)"

say "2. FetchBatch: 200 fetches, as they complete"
for i in $(seq 200); do echo "$origin/packages/$((i % 14 + 1)).json"; done >"$dir/urls"
show fetchctl batch --json urls.txt
start=$EPOCHREALTIME
"$ctl" batch --json "$dir/urls" >"$dir/batch.out"
head -n 3 "$dir/batch.out" | cut -c1-120
echo "... $(wc -l <"$dir/batch.out") results in $(seconds)"

say "3. FetchStream: 256 MiB"
echo "RSS of fetchd before: $(rss)"
show fetchctl stream -o large.bin "$origin/large.bin"
start=$EPOCHREALTIME
"$ctl" stream -s -o "$dir/large.bin" "$origin/large.bin"
echo "received $(stat -c %s "$dir/large.bin") bytes in $(seconds)"
cmp "$dir/large.bin" "$dir/www/large.bin" && echo "identical to the file at the origin"
echo "RSS of fetchd after:  $(rss)"

say "4. FetchPaged: 12 pages, item by item"
show fetchctl paged --items /packages --next-url /next "$origin/packages/1.json"
start=$EPOCHREALTIME
"$ctl" paged --items /packages --next-url /next "$origin/packages/1.json" >"$dir/items.ndjson"
head -n 3 "$dir/items.ndjson"
items=$(wc -l <"$dir/items.ndjson")
echo "... $items items in $(seconds)"
[ "$items" = 1200 ] || { echo "demo: expected 1200 items" >&2; exit 1; }

kill "$fetchd_pid" && wait "$fetchd_pid" && fetchd_pid=''
say "fetchd drained and stopped. The end of its log:"
tail -n 4 "$dir/fetchd.log"

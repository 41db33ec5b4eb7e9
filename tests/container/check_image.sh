#!/usr/bin/env bash
# Runs the image as a cluster would and checks that it behaves: read-only root, not root, healthy, fetches, and drains on
# SIGTERM under load without failing a call it had admitted.
#   ENGINE="docker" tests/container/check_image.sh IMAGE BIN_DIR     (BIN_DIR has fetchctl; ENGINE may be any command that
# takes docker's arguments). Needs nginx, python3 and the host's network.
set -euo pipefail
image=$1 bin=$(cd "$2" && pwd)
read -ra engine <<<"${ENGINE:-docker}"
dir=$(mktemp -d)
name=fetchd-check-$$
nginx_pid=''
cleanup() {
  "${engine[@]}" rm -f "$name" >/dev/null 2>&1 || true
  [ -z "$nginx_pid" ] || { kill "$nginx_pid" && wait "$nginx_pid"; } 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_true() { # until_true WHAT COMMAND...: up to 20 s
  local what=$1 end=$((SECONDS + 20)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "FAILED: $what" >&2; "${engine[@]}" logs "$name" >&2; exit 1; }
    read -rt 0.1 <> <(:) || true
  done
  echo "ok: $what"
}
same() { # same WHAT EXPECTED GOT
  [ "$2" = "$3" ] || { echo "FAILED: $1: expected '$2', got '$3'" >&2; exit 1; }
  echo "ok: $1: $3"
}

origin=$(free_port) grpc=$(free_port) ops=$(free_port)
mkdir "$dir/www" && head -c 1024 /dev/zero >"$dir/www/1k" && chmod -R a+rX "$dir"
cat >"$dir/nginx.conf" <<EOF
daemon off; worker_processes 1; pid $dir/nginx.pid; error_log $dir/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path $dir/1; proxy_temp_path $dir/2; fastcgi_temp_path $dir/3; uwsgi_temp_path $dir/4; scgi_temp_path $dir/5;
  server { listen 127.0.0.1:$origin; root $dir/www; }
}
EOF
PATH=$PATH:/usr/sbin nginx -c "$dir/nginx.conf" -e "$dir/error.log" &
nginx_pid=$!
cat >"$dir/fetchd.yaml" <<EOF
listen: ["127.0.0.1:$grpc"]
ops: {listen: "127.0.0.1:$ops"}
guard: {allow_cidrs: ["127.0.0.0/8"]}
EOF
url=http://127.0.0.1:$origin/1k
export FETCHD_TARGET=127.0.0.1:$grpc

"${engine[@]}" run -d --name "$name" --network=host --read-only --cap-drop=ALL --security-opt=no-new-privileges \
  -v "$dir/fetchd.yaml:/etc/fetchd/fetchd.yaml:ro" "$image" >/dev/null
until_true "health answers SERVING" "$bin/fetchctl" health
until_true "the image's own health check passes" "${engine[@]}" exec -e FETCHD_TARGET="$FETCHD_TARGET" "$name" fetchctl health
same "runs as" 65532 "$("${engine[@]}" exec "$name" id -u)"
if "${engine[@]}" exec "$name" touch /x 2>/dev/null; then echo "FAILED: the root file system is writable" >&2; exit 1; fi
echo "ok: the root file system is read-only"
same "fetches" 1024 "$("$bin/fetchctl" get "$url" | wc -c)"

# Load: callers that fetch until they are refused. A call that was admitted must end well; refusals (exit 69) end a caller.
caller() {
  local n=0 code
  while :; do
    code=0
    "$bin/fetchctl" batch --json "$dir/urls" >"$dir/out.$1" 2>"$dir/err.$1" || code=$?
    case $code in
      0) n=$((n + 1)); [ "$(grep -c '"status":200' "$dir/out.$1")" = 200 ] || { echo "short batch"; return; } ;;
      69) echo "refused after $n"; return ;;
      *) echo "exit $code after $n: $(tail -n 1 "$dir/err.$1")"; return ;;
    esac
    : >"$dir/began.$1"
  done
}
for _ in $(seq 200); do echo "$url"; done >"$dir/urls"
callers=()
for i in $(seq 8); do caller "$i" >"$dir/end.$i" & callers+=($!); done
until_true "all callers are at work" bash -c "[ \$(ls $dir | grep -c began) = 8 ]"
start=$EPOCHREALTIME
"${engine[@]}" kill --signal TERM "$name" >/dev/null
code=$("${engine[@]}" wait "$name")
took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}')
wait "${callers[@]}"
same "exit code after SIGTERM" 0 "$code"
cat "$dir"/end.*
if grep -qv '^refused after' "$dir"/end.*; then echo "FAILED: an admitted call failed" >&2; exit 1; fi
echo "ok: drained in $took s, no admitted call failed"
echo "size: $("${engine[@]}" image inspect --format '{{.Size}}' "$image" | awk '{printf "%.1f MB", $1 / 1e6}')"

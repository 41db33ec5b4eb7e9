#!/usr/bin/env bash
# Makes what the peers that are not C++ need, from the sources beside this file, in the folder OUT: Python stubs, the Go
# binary, Node's packages. A peer whose tools are missing is left out, with a word on standard error.
#   setup.sh OUT [PEER...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- python_aiohttp python_httpx go_nethttp node_undici

# Python stubs serve both Python peers.
python_peer() {
  local plugin
  plugin=$(command -v grpc_python_plugin) || { echo "grpc_python_plugin is missing" >&2; return 1; }
  /usr/bin/python3 -c "import grpc, $1" || return 1
  mkdir -p "$out/python"
  protoc -I "$here" --python_out="$out/python" --grpc_out="$out/python" --plugin=protoc-gen-grpc="$plugin" peer.proto
}

# Offline, from Debian's Go packages: GOPATH mode, stubs by protoc-gen-go 1.3 with its grpc plugin.
go_nethttp() {
  command -v go protoc-gen-go >/dev/null || { echo "go or protoc-gen-go is missing" >&2; return 1; }
  local gopath=$out/go/gopath
  mkdir -p "$gopath/src/fetchpeer" "$out/go/cache"
  protoc -I "$here" --go_out=plugins=grpc:"$gopath/src/fetchpeer" peer.proto || return 1
  find "$gopath/src/fetchpeer" -mindepth 2 -name '*.pb.go' -exec mv {} "$gopath/src/fetchpeer/" \;
  GO111MODULE=off GOPATH="$gopath:/usr/share/gocode" GOFLAGS='' GOCACHE="$out/go/cache" \
    go build -o "$out/go/peer_go" "$here/go_nethttp/main.go"
}

# Node.js 20.18 or newer.
node_undici() {
  command -v node npm >/dev/null || { echo "node or npm is missing" >&2; return 1; }
  mkdir -p "$out/node_undici"
  cp "$here/peer.proto" "$out/"
  cp "$here"/node_undici/{server.js,package.json,package-lock.json} "$out/node_undici/"
  (cd "$out/node_undici" && { [ -d node_modules/undici ] || npm ci --no-audit --no-fund --loglevel=error >&2; })
}

for peer in "$@"; do
  case $peer in
    python_aiohttp) python_peer aiohttp ;;
    python_httpx) python_peer httpx ;;
    go_nethttp | node_undici) $peer ;;
    *) echo "no such peer: $peer" >&2; exit 2 ;;
  esac || echo "setup.sh: $peer is left out" >&2
done

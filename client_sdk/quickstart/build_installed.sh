#!/bin/sh
# build_installed.sh BUILD_DIR [TARGET URL]
# Installs the SDK from BUILD_DIR into a fresh prefix, builds the quickstart against what was installed, runs its test,
# and, given the address of a running fetchd and a URL, runs the quickstart itself.
set -eu
if [ $# -ne 1 ] && [ $# -ne 3 ]; then
  sed -n 2,4p "$0" >&2
  exit 2
fi
build_dir=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build_dir" --component sdk --prefix "$work/prefix" >"$work/install.log" ||
  { cat "$work/install.log" >&2; exit 1; }
# The sources are copied so that nothing of the tree can leak in.
cp -r "$here" "$work/quickstart"
generator=
if command -v ninja >/dev/null; then generator="-G Ninja"; fi
launcher=
if command -v ccache >/dev/null; then launcher="-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"; fi
# shellcheck disable=SC2086
cmake -S "$work/quickstart" -B "$work/build" $generator $launcher -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_FLAGS=-O0 >"$work/configure.log" 2>&1 || { cat "$work/configure.log" >&2; exit 1; }
cmake --build "$work/build"
"$work/build/quickstart_test"
if [ $# -eq 3 ]; then
  "$work/build/quickstart" "$2" "$3"
fi

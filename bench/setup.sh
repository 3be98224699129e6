#!/bin/sh
# What the benchmarks need beside Signet itself: the C++ peer and load, and Python's peers. Does only what is missing;
# peers that cannot be had are left out of the tables. Python 3.8 to 3.12 as the system has it.
set -eu
root=$(cd -P "$(dirname "$0")/.." && pwd)
cd "$root"
mkdir -p build/bench
log=build/bench/setup.log
: >"$log"

has() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'bench: %s\n' "$1"; }

packages="libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc pkg-config"
if ! { has grpc_cpp_plugin && has protoc && pkg-config --exists grpc++ protobuf; }; then
  if [ "$(id -u)" = 0 ] && has apt-get; then
    say "installing $packages"
    # shellcheck disable=SC2086 # a list of packages
    { apt-get update && apt-get install -y --no-install-recommends $packages; } >>"$log" 2>&1
  else
    say "the C++ peer and the load need these; run this, then try again:
  sudo apt-get install -y --no-install-recommends $packages"
    exit 2
  fi
fi
if ! { cmake -S bench/native -B build/bench/cmake && cmake --build build/bench/cmake --parallel 2; } >>"$log" 2>&1; then
  tail -n 30 "$log" >&2
  exit 1
fi

ready=build/bench/python/.ready-2 # another number where the packages are others
if [ ! -e "$ready" ]; then
  if [ "$(id -u)" = 0 ] && has apt-get && ! /usr/bin/python3 -c 'import ensurepip' >/dev/null 2>&1; then
    { apt-get update && apt-get install -y --no-install-recommends python3-venv; } >>"$log" 2>&1 || true
  fi
  say "fetching grpc.aio and PyTriton, the real Triton with a Python model (400 MB once)"
  # The system's own Python, because the server that PyTriton brings is built for it.
  if { /usr/bin/python3 -m venv build/bench/python &&
    build/bench/python/bin/pip install 'tritonclient[grpc]==2.73.0' nvidia-pytriton==0.7.0 onnxruntime==1.30.0; } \
    >>"$log" 2>&1; then
    touch "$ready"
  else
    say "Python's peers could not be installed, $log says why; they are left out"
  fi
fi

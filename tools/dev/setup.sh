#!/bin/sh
# Makes a clone ready to run: npm packages, a C++ compiler and CMake, the native plugins. Called first by
# `npm run setup`, `npm test` and `npm run quickstart`; does only what is missing. Needs Node 20 or newer and npm.
# With the word `tests`, as `npm test` and `npm run attack` say it, also bubblewrap, Chromium and PostgreSQL, which only
# tests need here.
# Exit codes: 0 ready, 1 a step failed, 2 something is missing that only you can install.
set -eu

root=$(cd -P "$(dirname "$0")/../.." && pwd)
cd "$root"
mkdir -p build
log=build/setup.log

# The clock is /proc's because `date` has no fractions everywhere. In hundredths of a second.
now() {
  read -r uptime _ </proc/uptime
  echo "${uptime%.*}${uptime#*.}"
}

# What takes a while is announced, past the log that a step's output goes into.
exec 3>&1
announce() { printf 'setup: %s\n' "$1" >&3; }

# step NAME FUNCTION: runs it with its output in the log and says how long it took.
step() {
  started=$(now)
  if "$2" >>"$log" 2>&1; then
    took=$(($(now) - started))
    printf 'setup: %-13s %3d.%02d s\n' "$1" $((took / 100)) $((took % 100))
  else
    printf 'setup: %s failed; the end of %s:\n' "$1" "$root/$log" >&2
    tail -n 30 "$log" >&2
    exit 1
  fi
}

stop() {
  printf 'setup: %s\n' "$1" >&2
  exit 2
}

has() { command -v "$1" >/dev/null 2>&1; }

check_platform() {
  [ "$(uname -s)" = Linux ] || stop "Signet runs on Linux; this is $(uname -s). A Linux container or virtual machine will do."
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) stop "Signet runs on x86-64 and arm64 processors; this is $(uname -m)." ;;
  esac
  if ldd --version 2>&1 | grep -qi musl; then
    stop "Signet needs glibc; this system uses musl (Alpine). Use a Debian, Ubuntu or Red Hat based image."
  fi
}

check_node() {
  has node && has npm || stop "Node.js 20 or newer with npm is needed; get it from https://nodejs.org."
  node_major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$node_major" -ge 20 ] || stop "Node.js 20 or newer is needed; $(command -v node) is $(node --version)."
}

packages_are_current() {
  # The last three are what an install without optional or development packages would lack.
  [ -e node_modules/.bin/node ] && [ -e node_modules/.bin/tsc ] && [ -d node_modules/onnxruntime-node ] || return 1
  cmp -s package-lock.json node_modules/.signet-lock && return 0
  # Installed by hand: npm writes its own record after the lockfile.
  [ node_modules/.package-lock.json -nt package-lock.json ] && cp package-lock.json node_modules/.signet-lock
}

install_packages() {
  packages_are_current && return 0
  announce "fetching npm packages; the first time this takes minutes"
  npm ci --ignore-scripts --include=dev --include=optional --no-audit --no-fund || return 1
  node_modules/.bin/node -e 0 || return 1
  cp package-lock.json node_modules/.signet-lock
  rm -f build/native-cmake/CMakeCache.txt # what CMake found in the old packages may be gone
}

tools_are_there() {
  has cmake && { has ninja || has make; } && { has c++ || has g++ || has clang++; } && { has cc || has gcc || has clang; }
}

may_install_tools() { [ "$(id -u)" = 0 ] && has apt-get; }

say_how_to_get_tools() {
  if has apt-get; then
    command="sudo apt-get install -y --no-install-recommends cmake g++ make"
  elif has dnf; then
    command="sudo dnf install -y cmake gcc-c++ make"
  elif has zypper; then
    command="sudo zypper install -y cmake gcc-c++ make"
  elif has pacman; then
    command="sudo pacman -S --needed cmake gcc make"
  else
    stop "CMake 3.16 or newer, a C++17 compiler and make are needed; install them and run this again."
  fi
  stop "CMake, a C++ compiler and make are needed. Run this, then try again:
  $command"
}

install_tools() {
  tools_are_there && return 0
  announce "installing CMake, a C++ compiler and make"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update && apt-get install -y --no-install-recommends cmake g++ make && tools_are_there
}

# Tests of `sandbox: bwrap` are skipped without it, so nothing here fails where it cannot be had.
install_bubblewrap() {
  announce "installing bubblewrap, for tests of that sandbox"
  export DEBIAN_FRONTEND=noninteractive
  get_bubblewrap || { apt-get update && get_bubblewrap; } || announce "bubblewrap could not be installed; see $log"
}

get_bubblewrap() { apt-get install -y --no-install-recommends bubblewrap; }

# The test of gRPC-Web in a real browser is skipped without it.
install_chromium() {
  announce "installing Chromium, for the test in a browser; this takes a minute"
  export DEBIAN_FRONTEND=noninteractive
  get_chromium || { apt-get update && get_chromium; } || announce "Chromium could not be installed; see $log"
}

get_chromium() { apt-get install -y --no-install-recommends chromium; }

has_chromium() {
  [ -x /usr/bin/chromium ] || [ -x /usr/bin/chromium-browser ] || [ -x /usr/bin/google-chrome ]
}

# The tests of the store in PostgreSQL are skipped without it. They start a server of their own where none answers.
install_postgres() {
  announce "installing PostgreSQL, for tests of the store"
  export DEBIAN_FRONTEND=noninteractive
  get_postgres || { apt-get update && get_postgres; } || announce "PostgreSQL could not be installed; see $log"
}

get_postgres() { apt-get install -y --no-install-recommends postgresql; }

has_postgres() {
  [ -n "${SIGNET_TEST_POSTGRES-}" ] && return
  for program in /usr/lib/postgresql/*/bin/postgres; do [ -x "$program" ] && return; done
  return 1
}

has_bubblewrap() { [ -x /usr/bin/bwrap ] || [ -x /usr/local/bin/bwrap ]; }

configure_native() {
  if has ninja; then generator=Ninja; else generator="Unix Makefiles"; fi
  cmake -S native -B build/native-cmake -G "$generator"
}

build_native() {
  cache=build/native-cmake/CMakeCache.txt
  # A clone that was moved or copied brings a cache that names the old place.
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root/native" "$cache"; then
    rm -rf build/native-cmake
  fi
  if [ ! -f "$cache" ] || [ ! -f build/native/libsignet_onnxruntime.so ]; then
    announce "compiling native code"
    # Once more from nothing: a cache may name a compiler or a generator that is gone.
    configure_native || { rm -rf build/native-cmake && configure_native; } || return 1
  fi
  cmake --build build/native-cmake --parallel "$(getconf _NPROCESSORS_ONLN)" || return 1
  [ -f build/native/libsignet_onnxruntime.so ]
}

# npm puts node_modules/.bin in front; npm must not run on a Node that it is about to replace.
outside_path() {
  rest=$PATH:
  kept=
  while [ -n "$rest" ]; do
    directory=${rest%%:*}
    rest=${rest#*:}
    case $directory in
      */node_modules/.bin) ;;
      *) kept=$kept${kept:+:}$directory ;;
    esac
  done
  printf '%s' "$kept"
}

PATH=$(outside_path)
export PATH
check_platform
check_node
tools_are_there || may_install_tools || say_how_to_get_tools
# One at a time: two that install into the same folder would break each other's work.
if has flock; then
  exec 9>build/setup.lock
  flock -n 9 || { echo "setup: waiting for another setup in this folder" && flock 9; }
fi
: >"$log"
step "npm packages" install_packages
step "build tools" install_tools
if [ "${1-}" = tests ] && ! has_bubblewrap; then
  if may_install_tools; then
    step "bubblewrap" install_bubblewrap
  else
    announce "bubblewrap is not installed, so the tests of that sandbox will be skipped"
  fi
fi
if [ "${1-}" = tests ] && ! has_chromium; then
  if may_install_tools; then
    step "Chromium" install_chromium
  else
    announce "Chromium is not installed, so the test in a browser will be skipped"
  fi
fi
if [ "${1-}" = tests ] && ! has_postgres; then
  if may_install_tools; then
    step "PostgreSQL" install_postgres
  else
    announce "PostgreSQL is not installed, so the tests of the store in it will be skipped"
  fi
fi
step "native code" build_native

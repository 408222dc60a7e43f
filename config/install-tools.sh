#!/usr/bin/env bash
# Installs the commands that are named and missing, from Debian's packages:
#   config/install-tools.sh redis-server cc make python3-redis
# Says what it installs; does nothing, and needs no right to, where they are there already.
set -euo pipefail

# The Debian packages that bring a command.
packages_of() {
  case $1 in
    cc) echo gcc libc6-dev ;;
    curl) echo curl ;;
    chromium) echo chromium fonts-inter ;; # without any font it draws no text
    make) echo make ;;
    perf) echo linux-perf ;;
    promtool) echo prometheus ;;
    pngquant) echo pngquant ;;
    redis-server) echo redis-server redis-tools ;;
    valkey-server | keydb-server) echo "$1" ;;
    python3-redis) echo python3 python3-redis ;;
    *) echo "install-tools: no package is known for \`$1\`" >&2; return 1 ;;
  esac
}

is_there() {
  case $1 in
    # a library: the first Python of the path may be another one than that of the system's packages
    python3-redis) "${PYTHON:-python3}" -c 'import redis' 2>/dev/null || /usr/bin/python3 -c 'import redis' 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

wanted=()
for command in "$@"; do
  is_there "$command" && continue
  packages=$(packages_of "$command")
  read -ra words <<<"$packages"
  wanted+=("${words[@]}")
done
[ "${#wanted[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "install-tools: please install ${wanted[*]} (or what your system calls it) and try again" >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install-tools: please install ${wanted[*]} as root and try again" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "install-tools: installing ${wanted[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null

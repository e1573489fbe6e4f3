#!/bin/sh
# This program, HAProxy, nginx and a bare forwarder side by side: CPU time per request.
#
#   stress/compare.sh [MEASURE...] [--rounds N] [--json FILE]    the table, under 3 minutes
#   stress/compare.sh --help                                     which measures there are
#   stress/compare.sh --tools                                    only build; prints where
#
# PROGRAM=FILE measures that binary instead of building one. What is measured, and how: compare.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/stress

missing() {
    echo "$(basename "$0"): $1 is missing; on Debian: apt-get install $2" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# nginx and haproxy are in /usr/sbin, which is not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin
have cc || missing "a C compiler (cc)" gcc
mkdir -p "$tools"
for tool in forwarder backend load; do
    if [ ! -x "$tools/$tool" ] || [ "$here/$tool.c" -nt "$tools/$tool" ]; then
        cc -O2 -Wall -o "$tools/$tool.$$" "$here/$tool.c" -lm
        mv "$tools/$tool.$$" "$tools/$tool"
    fi
done
if [ -z "${PROGRAM:-}" ]; then
    have cargo || missing cargo rustc
    if ! said=$(cd "$root" && cargo build --release --quiet 2>&1); then
        echo "$said" >&2
        exit 1
    fi
    PROGRAM=$target/release/loadbalancer
fi
if [ "${1:-}" = --tools ]; then
    echo "$tools" "$PROGRAM"
    exit
fi
have python3 || missing python3 python3
have haproxy || missing haproxy haproxy
have nginx || missing nginx nginx-light
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/${COMPARISON:-compare.py}" --tools "$tools" --program "$PROGRAM" "$@"

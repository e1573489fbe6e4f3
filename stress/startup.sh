#!/bin/sh
# Milliseconds from exec to the first served request, of the program and of the bare forwarder in
# turn, and the size of the stripped binary.
#
#   stress/startup.sh [ROUNDS]     [default: 21]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
rounds=${1:-21}
command -v strip >/dev/null || {
    echo "startup.sh: strip is missing; on Debian: apt-get install binutils" >&2
    exit 1
}
built=$("$here/compare.sh" --tools)
tools=${built% *} program=${built##* }
home=$(mktemp -d)
backend=
clean() {
    [ -z "$backend" ] || kill -9 "$backend" 2>/dev/null || true
    rm -rf "$home"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

"$tools/backend" 0 0 >"$home/backend" &
backend=$!
until [ -s "$home/backend" ]; do sleep 0.05; done
read -r to _ <"$home/backend"
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0))
print(s.getsockname()[1])')

round=0
while [ $round -lt "$rounds" ]; do
    "$tools/load" -e "$port" "$program" "127.0.0.1:$port" -b "127.0.0.1:$to" --health off \
        2>/dev/null >>"$home/ours"
    "$tools/load" -e "$port" "$tools/forwarder" pairs "$port" "$to" | tail -n 1 >>"$home/floor"
    round=$((round + 1))
done
median() { sort -n "$1" | sed -n "$((rounds / 2 + 1))p"; }
echo "exec to first answer: $(median "$home/ours") ms; bare forwarder $(median "$home/floor") ms" \
    "(medians of $rounds)"
strip -o "$home/stripped" "$program"
echo "stripped binary:      $(($(wc -c <"$home/stripped") / 1024)) KiB"

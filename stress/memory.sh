#!/bin/sh
# Memory of the program: at the start, per idle client, per request in flight to a slow server, and
# after each of these peaks.
#
#   stress/memory.sh [IDLE] [IN_FLIGHT]     [default: 10000 2000]
#   PROXY="COMMAND"  measures another program: BACKEND in it is the port it forwards to, PORT the
#                    one it listens on
set -eu
here=$(cd "$(dirname "$0")" && pwd)
idle=${1:-10000} in_flight=${2:-2000}
built=$("$here/compare.sh" --tools)
tools=${built% *} program=${built##* }
files=$(ulimit -H -n)
if [ "$files" != unlimited ] && [ "$files" -lt $((idle + 2 * in_flight + 200)) ]; then
    echo "memory.sh: the open-file limit of $files is too low for $idle clients (ulimit -n)" >&2
    exit 1
fi
ulimit -n "$files"
home=$(mktemp -d)
backend= proxy= load=
clean() {
    for pid in $load $proxy $backend; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$home"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

# Waits until a file has a line with the given text.
await() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { echo "memory.sh: no '$2' within 60 s" >&2; cat "$1" >&2; exit 1; }
        sleep 0.05
    done
}

# A backend and a fresh proxy over it.
start() {
    rm -f "$home/backend" "$home/proxy"
    "$tools/backend" 0 0 "$in_flight" >"$home/backend" &
    backend=$!
    await "$home/backend" '[0-9]'
    read -r to _ <"$home/backend"
    if [ -n "${PROXY:-}" ]; then
        port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0))
print(s.getsockname()[1])')
        # shellcheck disable=SC2086
        $(echo "$PROXY" | sed "s/BACKEND/$to/g; s/PORT/$port/g") >"$home/proxy" 2>&1 &
        proxy=$!
        sleep 1
    else
        "$program" 127.0.0.1:0 -b "127.0.0.1:$to" --health off -N $((in_flight + 1000)) \
            2>"$home/proxy" &
        proxy=$!
        await "$home/proxy" '://127'
        port=$(sed -n 's/.*:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$home/proxy")
    fi
}

stop() {
    kill -9 $proxy $backend
    wait $proxy $backend 2>/dev/null || true
    proxy= backend=
}

# Opens clients that stay until `leave`; the arguments are the load's.
come() {
    rm -f "$home/stay" "$home/load"
    mkfifo "$home/stay"
    "$tools/load" "$@" "$port" <"$home/stay" >"$home/load" &
    load=$!
    exec 3>"$home/stay"
    await "$home/load" ready
}

leave() {
    exec 3>&-
    wait $load || true
    load=
    sleep 1
}

rss() { awk '/^VmRSS/ {print $2 * 1024}' /proc/$proxy/status; }
kib() { echo $(($1 / 1024)); }

start
at_start=$(rss)
come -c "$idle" -i
with_idle=$(rss)
leave
after_idle=$(rss)
stop

start
before=$(rss)
come -c "$in_flight" -u /held -w
await "$home/backend" held
with_flights=$(rss)
kill -USR1 $backend
sleep 1
leave
after_flights=$(rss)
stop

echo "at the start                        $(kib "$at_start") KiB"
echo "per idle client, $idle             $(((with_idle - at_start) / idle)) bytes"
echo "  when they have left               $(kib "$after_idle") KiB"
echo "per request in flight, $in_flight        $(((with_flights - before) / in_flight)) bytes"
echo "  when they are answered            $(kib "$after_flights") KiB"

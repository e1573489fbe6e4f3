#!/bin/sh
# Memory of the program: at the start, per idle client, per request in flight to a slow server, and
# after each of these peaks.
#
#   stress/memory.sh [IDLE] [IN_FLIGHT]     [default: 10000 2000]
#   PROXY="COMMAND"  measures another program, see measured.sh
. "$(dirname "$0")/measured.sh"
idle=${1:-10000} in_flight=${2:-2000}
files=$(ulimit -H -n)
if [ "$files" != unlimited ] && [ "$files" -lt $((idle + 2 * in_flight + 200)) ]; then
    echo "memory.sh: the open-file limit of $files is too low for $idle clients (ulimit -n)" >&2
    exit 1
fi
ulimit -n "$files"

# A backend and a new proxy for it.
start() {
    start_backend "$in_flight"
    start_proxy -- -N $((in_flight + 1000))
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

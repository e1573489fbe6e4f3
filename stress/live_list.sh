#!/usr/bin/env bash
# Usage: live_list.sh [CHANGES]
#
# Adds servers to and removes them from the list file CHANGES times (default 8) while clients keep
# their connections busy (wrk, or Python clients where wrk is missing): no request may fail, and
# each change must take effect within $WITHIN seconds (default 5). The list is read once a second, and
# at once on the SIGHUP that follows every second change.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
changes=${1:-8}
number CHANGES "$changes"
within=${WITHIN:-5}

echo "a page" >"$WORK/page"
for i in 1 2 3 4; do start_httpserver "server$i" -d "$WORK"; done

# list NAMES…: written whole and moved into place, as an editor does.
list() {
    { echo "# $*"; addresses "$@"; } >"$WORK/new"
    mv "$WORK/new" "$WORK/servers.txt"
}

# ports COUNT: which servers COUNT requests go to.
ports() {
    curl -sS -m 10 -D - -o /dev/null "$URL/page?[1-$1]" | tr -d '\r' |
        awk 'tolower($1) == "x-served-by:" { print $2 }' | sort -u | tr '\n' ' '
}

# follows NAMES…: exactly these servers get requests.
follows() {
    local wanted
    wanted=$(for name in "$@"; do echo "${PORT_OF[$name]}"; done | sort -u | tr '\n' ' ')
    [ "$(ports 24)" = "$wanted" ]
}

list server1 server2
start_balancer -f "$WORK/servers.txt" -s rr -c 1s
if command -v wrk >/dev/null; then
    echo "load: wrk"
    spawn load wrk -t 1 -c 16 -d "$((changes * 5 / 4 + 2))s" --timeout 10s "$URL/page"
else
    echo "load: Python"
    spawn load python3 "$STRESS/load.py" "$URL" --seconds "$((changes * 5 / 4 + 2))" --clients 16 --path /page
fi
load=$PID

sets=("server1 server2 server3" "server3" "server1 server2 server3 server4" "server4 server1"
    "server2" "server1 server2 server3 server4" "server2 server3" "server1 server2")
for ((i = 0; i < changes; i++)); do
    names=${sets[i % ${#sets[@]}]}
    start=$(millis)
    # shellcheck disable=SC2086
    list $names
    how=
    if [ $((i % 2)) = 1 ]; then
        how=' by SIGHUP'
        kill -HUP "$LB_PID"
    fi
    # shellcheck disable=SC2086
    if await "$within" follows $names; then
        echo "OK: $names after $(($(millis) - start)) ms$how"
    else
        fail "$names: after $within s requests go to: $(ports 24)"
    fi
    # One change per second.
    left=$((1000 - $(millis) + start))
    [ "$left" -le 0 ] || sleep "$(printf '0.%03d' "$((left % 1000))")"
done
wait "$load"
if command -v wrk >/dev/null; then
    grep -E 'requests in|Socket errors|Non-2xx' "$WORK/load.out"
    grep -q ' requests in ' "$WORK/load.out" || fail "wrk: $(cat "$WORK/load.err")"
    grep -qE 'Socket errors|Non-2xx' "$WORK/load.out" && fail "requests failed"
else
    grep -E '^(requests|failed|error)' "$WORK/load.out"
    [ "$(value failed "$WORK/load.out")" = 0 ] || fail "requests failed"
fi
verdict

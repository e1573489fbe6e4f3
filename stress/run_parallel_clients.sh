#!/usr/bin/env bash
# Usage: run_parallel_clients.sh [CLIENTS] [REQUESTS]
#
# CLIENTS (default 10) at the same time, each with REQUESTS (default 20) in a row over one
# connection; prints which servers answered which client. Every request must be answered 200.
# With $PORT it asks the balancer that listens there (setup.sh); else it starts one of its own over
# 3 servers, by $POLICY (default rr).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
clients=${1:-10} requests=${2:-20}
number CLIENTS "$clients"
number REQUESTS "$requests"

if [ -n "${PORT:-}" ]; then
    url=http://localhost:$PORT
else
    for i in 1 2 3; do start_httpserver "server$i" -d "$WORK"; done
    # shellcheck disable=SC2046
    start_balancer $(addresses server1 server2 server3) -s "${POLICY:-rr}"
    url=$URL
fi

running=()
for ((i = 1; i <= clients; i++)); do
    spawn "client$i" curl -sS -m 60 -D - -o /dev/null "$url/[1-$requests]?client=$i"
    running+=("$PID")
done
wait "${running[@]}"

total=0
for ((i = 1; i <= clients; i++)); do
    answered=$(grep -c '^HTTP/1.1 200' "$WORK/client$i.out")
    total=$((total + answered))
    shares=$(tr -d '\r' <"$WORK/client$i.out" | awk 'tolower($1) == "x-served-by:" { count[$2]++ }
        END { for (port in count) printf " %s:%d", port, count[port] }')
    echo "client $i: $answered responses, from$shares"
    [ "$answered" = "$requests" ] || fail "client $i: $(cat "$WORK/client$i.err")"
done
echo "$total of $((clients * requests)) answered"
verdict

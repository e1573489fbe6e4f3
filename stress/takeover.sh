#!/usr/bin/env bash
# Usage: takeover.sh [TAKEOVERS] [RATE]
#
# The balancer is replaced by another process TAKEOVERS times (default 5) with --takeover, under
# mixed load of RATE requests per second (default 150): GETs, large responses, POSTs, uploads of
# 300 kB that take half a second, over kept connections and with a connection per request, and
# WebSockets. No request may fail, no POST may be processed twice or not at all, no WebSocket may
# break, and every process that was replaced ends with status 0.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 900 "$@"
takeovers=${1:-5} rate=${2:-150}
number TAKEOVERS "$takeovers"
number RATE "$rate" 20

names=(server1 server2 server3)
for name in "${names[@]}"; do
    PLACE[$name]=127.0.0.1:$(free_port)
    start_placed "$name" --delay 0.02
done
options=(-c 1s)
for name in "${names[@]}"; do options+=("${PLACE[$name]}"); done

start_balancer "${options[@]}"
load_begins get=8,big=2,post=4,chunked=2,upload=1
replaced=()
start=$(millis)
for ((i = 1; i <= takeovers; i++)); do
    replaced+=("$LB_PID")
    spawn "balancer$i" "$LOADBALANCER" "127.0.0.1:$LB_PORT" "${options[@]}" --takeover
    LB_PID=$PID
    if ! await 10 grep -q "took over" "$WORK/balancer$i.err"; then
        fail "takeover $i: $(tail -n 1 "$WORK/balancer$i.err")"
        break
    fi
    sleep 0.2
done
echo "${#replaced[@]} takeovers in $(($(millis) - start)) ms"
load_ends takeovers "$((rate / 6))"
for pid in "${replaced[@]}"; do
    await 40 is_gone "$pid" || fail "process $pid was replaced and does not end"
    wait "$pid"
    code=$?
    [ "$code" = 0 ] || fail "process $pid was replaced and ended with status $code"
done
check "processes that were replaced and ended" "${#replaced[@]} == $takeovers"
verdict

#!/usr/bin/env bash
# Usage: abuse.sh [SECONDS]
#
# Clients that hold on to what others need: each attack alone takes every slot of a balancer with few
# of them, while one well-behaved client asks for a page, for SECONDS (default 14) each. Prints how
# many were answered and the slowest. A slow client keeps its slot for 10 s, the time over which
# --min-rate is averaged. Then a server whose health check never ends.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
seconds=${1:-14}
number SECONDS "$seconds" 14

start_scripted one
start_scripted two

# attack NAME CLIENTS SLOWEST_MS: all asked must be answered, none later than that.
attack() {
    local name=$1 clients=$2 slowest=$3
    # shellcheck disable=SC2046
    start_balancer $(addresses "${servers[@]}") "${options[@]}"
    python3 "$STRESS/abuse.py" "$name" "$LB_PORT" "$clients" "$seconds" >"$WORK/report"
    local asked answered took
    asked=$(value asked "$WORK/report") answered=$(value answered "$WORK/report")
    took=$(value slowest_ms "$WORK/report")
    check "$name: $answered of $asked pages beside $clients clients, the slowest after $took ms" \
        "$asked > 0 && $answered == $asked && $took <= $slowest"
    stop "$LB_PID"
}

servers=(one two) options=(-N 8)
attack slow-uploads 8 13000
attack stalled-uploads 8 1000
attack slow-readers 8 13000
attack half-heads 64 1000
options=(-N 4)
start_listening tunnels python3 "$STRESS/abuse.py" serve tunnels
servers=(tunnels)
attack idle-tunnels 4 1000

# A health check without an end: the server is down, and its bytes cost no more than 64 KiB each.
start_listening endless python3 "$STRESS/abuse.py" serve endless
# shellcheck disable=SC2046
start_balancer $(addresses one endless) -c 1s
await 10 grep -q "${PORT_OF[endless]} down" "$WORK/balancer.err" || fail "an endless health check passes"
check "an endless health check: $(grep -m1 -o 'down: [^;]*' "$WORK/balancer.err")" 1
verdict

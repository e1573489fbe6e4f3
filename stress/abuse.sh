#!/usr/bin/env bash
# Usage: abuse.sh [SECONDS]
#
# Clients that hold on to what others need: each attack takes every slot of a balancer of its own with
# few of them, while one well-behaved client asks it for a page, for SECONDS (default 14). Prints how
# many were answered and the slowest. A slow client keeps its slot for 10 s, the time over which
# --min-rate is averaged. Then a server whose health check never ends.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
seconds=${1:-14}
number SECONDS "$seconds" 14

start_scripted one
start_scripted two

# attack NAME CLIENTS SLOTS SERVER…: in the background; prints what was asked and answered.
attack() {
    local name=$1 clients=$2 slots=$3
    shift 3
    # shellcheck disable=SC2046
    start_balancer $(addresses "$@") -N "$slots"
    balancers+=("$LB_PID")
    spawn "$name" python3 "$STRESS/abuse.py" "$name" "$LB_PORT" "$clients" "$seconds"
    attacks+=("$PID")
}

# answered NAME SLOWEST_MS: all asked were answered, none later than that.
answered() {
    local name=$1 slowest=$2 report=$WORK/$1.out asked answered took
    asked=$(value asked "$report") answered=$(value answered "$report")
    took=$(value slowest_ms "$report")
    check "$name: $answered of $asked pages, the slowest after $took ms" \
        "$asked > 0 && $answered == $asked && $took <= $slowest"
}

balancers=() attacks=()
start_listening tunnels python3 "$STRESS/abuse.py" serve tunnels
attack slow-uploads 8 8 one two
attack stalled-uploads 8 8 one two
attack slow-readers 8 8 one two
attack half-heads 64 8 one two
attack idle-tunnels 4 4 tunnels
wait "${attacks[@]}"
# Half of the time for which a slot may be held tells the two apart on a loaded machine as well.
answered slow-uploads 15000
answered stalled-uploads 5000
answered slow-readers 15000
answered half-heads 5000
answered idle-tunnels 5000
for pid in "${balancers[@]}"; do
    stop "$pid"
done

# A health check without an end: the server is down, and its bytes cost no more than 64 KiB each.
start_listening endless python3 "$STRESS/abuse.py" serve endless
# shellcheck disable=SC2046
start_balancer $(addresses one endless) -c 1s
await 10 grep -q "${PORT_OF[endless]} down" "$WORK/balancer.err" || fail "an endless health check passes"
check "an endless health check: $(grep -m1 -o 'down: [^;]*' "$WORK/balancer.err")" 1
verdict

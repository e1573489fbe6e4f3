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

load_begins() {
    spawn kept python3 "$STRESS/load.py" "$URL" --seconds 600 --clients 24 --rate "$((rate * 2 / 3))" \
        --path '/item/{n}' --check --mix get=8,big=2,post=4,chunked=2,upload=1 \
        --record "$WORK/record.kept"
    kept=$PID
    spawn fresh python3 "$STRESS/load.py" "$URL" --seconds 600 --clients 12 --rate "$((rate / 3))" \
        --fresh --path '/item/{n}' --check --mix get=4,post=2,upload=1 --record "$WORK/record.fresh"
    fresh=$PID
    # Sessions of about a second, one after the other.
    spawn sockets bash -c 'until [ -e "$1/ended" ]; do
        python3 "$2/websocket.py" talk "$3" 6 8 0.1 || echo broken; done' - "$WORK" "$STRESS" "$LB_PORT"
    sockets=$PID
    sleep 1
}

load_ends() {
    local load sessions
    touch "$WORK/ended"
    kill -TERM "$kept" "$fresh"
    wait "$kept" "$fresh" "$sockets"
    for load in kept fresh; do
        echo "$load connections: $(grep -E '^(requests|failed|wrong|p99_ms|max_ms)' \
            "$WORK/$load.out" | paste -sd ' ')"
        [ "$(value failed "$WORK/$load.out")" = 0 ] ||
            fail "requests failed: $(grep ^error "$WORK/$load.out" | head -n 3 | paste -sd ';')"
        # Fewer would mean that this measured nothing.
        check "$load connections: requests" "$(value requests "$WORK/$load.out") > $rate / 6"
    done
    sessions=$(grep -c '6 of 6 sockets' "$WORK/sockets.out")
    echo "$((sessions * 6)) WebSockets"
    [ "$sessions" -gt 0 ] || fail "no WebSocket came through"
    ! grep -q broken "$WORK/sockets.out" ||
        fail "WebSockets broke: $(grep -hE '^(broken|error)' "$WORK/sockets.out" | sort | uniq -c | paste -sd ';')"
    posts_once || fail "POSTs were processed twice or lost"
}

# posts_once: every POST that was answered was processed, and none was twice.
posts_once() {
    python3 - "$WORK" <<'PYTHON'
import collections, glob, sys

work = sys.argv[1]
processed = collections.Counter(
    line.strip() for file in glob.glob(f"{work}/posts.*") for line in open(file))
rows = [line.rstrip("\n").split("\t")
        for load in ("kept", "fresh") for line in open(f"{work}/record.{load}")]
answered = [ident for _, _, kind, _, outcome, _, ident in rows
            if kind in ("post", "chunked", "upload") and outcome == "ok"]
twice = sum(count > 1 for count in processed.values())
lost = sum(ident not in processed for ident in answered)
print(f"{len(answered)} POSTs, {twice} processed twice, {lost} lost")
sys.exit(twice + lost > 0 or not answered)
PYTHON
}

start_balancer "${options[@]}"
load_begins
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
load_ends
for pid in "${replaced[@]}"; do
    await 40 is_gone "$pid" || fail "process $pid was replaced and does not end"
    wait "$pid"
    code=$?
    [ "$code" = 0 ] || fail "process $pid was replaced and ended with status $code"
done
check "processes that were replaced and ended" "${#replaced[@]} == $takeovers"
verdict

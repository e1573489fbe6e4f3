#!/usr/bin/env bash
# Usage: deploy.sh [ROUNDS] [RATE]
#
# A deploy as operators do it, under mixed load of RATE requests per second (default 150): GETs,
# large responses, slow readers, POSTs, uploads of 300 kB that take half a second, a connection per
# request, and WebSockets. ROUNDS times (default 1) each of three servers in turn is drained by a word
# in the list file; when `/status` shows that nothing is in flight there, it is killed (SIGKILL: it
# finishes nothing itself), started again and brought back. Then the balancer itself is restarted
# 3 * ROUNDS times on a socket that a service manager holds (activate.py), with --lame-duck, so that
# clients with a kept connection open another one in time. No request may fail, no POST may be
# processed twice or not at all, and no WebSocket may break.
#
# BY=ctl sets the states by `loadbalancer ctl` and leaves the list alone.
# UNSAFE=1 leaves out the drain: what fails then shows what it is for.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 900 "$@"
rounds=${1:-1} rate=${2:-150}
number ROUNDS "$rounds"
number RATE "$rate" 20
by=${BY:-list}
case $by in list | ctl) ;; *) die "BY=$by: write list or ctl" ;; esac
need curl curl

names=(server1 server2 server3)
for name in "${names[@]}"; do
    PLACE[$name]=127.0.0.1:$(free_port)
    start_placed "$name" --delay 0.02
done
options=(-f "$WORK/servers" -c 1s --lame-duck 2s --admin "127.0.0.1:$(free_port)")
admin=http://${options[-1]}

# list [NAME]: all servers, NAME with the word `drain`.
list() {
    local name
    for name in "${names[@]}"; do
        if [ "$name" = "${1:-}" ]; then echo "${PLACE[$name]} drain"; else echo "${PLACE[$name]}"; fi
    done >"$WORK/new"
    mv "$WORK/new" "$WORK/servers"
}

# set_state NAME drain|up: in the list, which the balancer reads at once, or by the control socket.
set_state() {
    case $by in
    list)
        if [ "$2" = drain ]; then list "$1"; else list; fi
        kill -HUP "$LB_PID"
        ;;
    ctl) "$LOADBALANCER" ctl "$LB_PORT" "$2" "${PLACE[$1]}" || fail "ctl $2 $1" ;;
    esac
}

# shows NAME STATE [IN_FLIGHT]: whether /status has the server in this state.
shows() {
    curl -sS -m 5 "$admin/status" | python3 -c '
import json, sys
name, state, *count = sys.argv[1:]
for server in json.load(sys.stdin)["backends"]:
    if server["name"] == name and server["state"] == state:
        sys.exit(0 if not count or server["in_flight"] == int(count[0]) else 1)
sys.exit(1)' "${PLACE[$1]}" "${@:2}"
}

# deploy NAME: drains it, restarts it, brings it back.
deploy() {
    local start drained
    start=$(millis)
    if [ -z "${UNSAFE:-}" ]; then
        set_state "$1" drain
        await 15 shows "$1" drain 0 || fail "$1 has requests in flight 15 s after the drain began"
    fi
    drained=$(millis)
    kill_hard "${PID_OF[$1]}"
    start_placed "$1" --delay 0.02
    set_state "$1" up
    await 10 shows "$1" up || fail "$1 did not come back"
    echo "OK: $1 drained in $((drained - start)) ms, back $(($(millis) - drained)) ms later"
    # All three serve before the next one leaves.
    sleep 0.3
}

restarts() { [ "$(grep -c restarted "$WORK/manager.out")" = "$1" ]; }
is_ready() { [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$admin/ready")" = 200 ]; }

list
start_balancer "${options[@]}"
await 10 is_ready || fail "it does not become ready"
load_begins get=8,big=2,slow=1,post=4,chunked=2,upload=1
for ((round = 0; round < rounds; round++)); do
    for name in "${names[@]}"; do deploy "$name"; done
done
load_ends 'servers restarted' "$rate"
stop "$LB_PID"
LB_PID=

spawn manager python3 "$STRESS/activate.py" "$LOADBALANCER" "${options[@]}"
manager=$PID
await 10 test -s "$WORK/manager.out" || die "activate.py did not start"
LB_PORT=$(head -n 1 "$WORK/manager.out")
await 10 is_ready || fail "it does not become ready"
load_begins get=8,big=2,slow=1,post=4,chunked=2,upload=1
for ((i = 1; i <= 3 * rounds; i++)); do
    start=$(millis)
    kill -HUP "$manager"
    await 40 restarts "$i" || { fail "restart $i did not end"; break; }
    await 10 is_ready || fail "it is not ready after restart $i"
    echo "OK: restart $i of the balancer took $(($(millis) - start)) ms"
done
load_ends 'balancer restarted' "$rate"
stop "$manager"
verdict

#!/usr/bin/env bash
# Usage: sticky.sh [CLIENTS]
#
# Sticky sessions over a rolling restart: CLIENTS (default 30) keep the cookie of --sticky and send
# requests all the time, while each of three servers in turn is killed and started again. No request
# may fail, and a client may change its server only when that one was killed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 120 "$@"
clients=${1:-30}
number CLIENTS "$clients"

names=(server1 server2 server3)
for name in "${names[@]}"; do
    PLACE[$name]=127.0.0.1:$(free_port)
done

up() {
    start_listening "$1" python3 "$STRESS/sticky_server.py" "${PLACE[$1]}" "$1"
    SERVER[$1]=$PID
}

declare -A SERVER
for name in "${names[@]}"; do up "$name"; done
start_balancer --sticky srv -c 100ms --rise 1 "${PLACE[@]}"
spawn clients python3 "$STRESS/sticky_clients.py" "${URL#http://}" "$clients"
load=$PID
is_said() { [ "$(grep -c "$1" "$2")" -ge "$3" ]; }
await 20 is_said answered "$WORK/clients.out" 1 || fail "not every client is answered"
for place in "${!names[@]}"; do
    name=${names[$place]}
    kill_hard "${SERVER[$name]}"
    sleep 0.7
    up "$name"
    await 20 is_said " up: " "$WORK/balancer.err" $((place + 1)) || fail "$name does not come up"
    sleep 0.7
done
kill -TERM "$load"
wait "$load"

# Three servers are killed once each: a client leaves its server three times at most.
python3 - "$WORK/clients.out" <<'PYTHON' || FAILURES=$((FAILURES + 1))
import sys

order = ["server1", "server2", "server3"]
clients = [line.split() for line in open(sys.argv[1]) if line != "answered\n"]
moves = 0
for visits in clients:
    assert visits, "a client was never answered"
    failed = [visit for visit in visits if visit.startswith("failed") or visit == "?"]
    assert not failed, f"requests failed: {failed}"
    # It leaves a server when that is killed, so in the order in which they are.
    left = [order.index(server) for server in visits[:-1]]
    assert left == sorted(set(left)), f"a client left its server though it was up: {visits}"
    moves += len(left)
assert len({visits[0] for visits in clients}) == 3, "the clients were not spread"
assert moves > 0, "no client lost its server"
print(f"{len(clients)} clients, {moves} moves, no request failed")
PYTHON
verdict

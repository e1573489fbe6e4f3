#!/usr/bin/env bash
# Usage: keepalived.sh [RATE]
#
# Two balancers, each with keepalived in a network namespace of its own, share an address; clients
# send RATE requests per second to it (default 100), each on a new connection. The balancer that has
# the address is killed: its vrrp_script, which asks /ready, fails, and the address moves. Then the
# cable of the other one is pulled: it moves back. Each time the other one must answer within 3
# seconds, and requests may fail only in that time. Then the one that has it is stopped in order with
# --lame-duck: the address moves while it still serves. Needs root and keepalived.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 120 "$@"
rate=${1:-100}
number RATE "$rate" 20
PATH=$PATH:/usr/sbin:/sbin
need keepalived keepalived
need ip iproute2
hub=$NETWORK-hub subnet=198.18.$(($$ / 256 % 256))
shared=$subnet.10

# What a namespace needs and a container may refuse.
if ! ip netns add "$hub" 2>"$WORK/network" || ! ip -n "$hub" link add bridge type bridge 2>"$WORK/network"; then
    echo "SKIPPED: no network namespace: $(head -n 1 "$WORK/network")"
    exit $SKIPPED
fi
within() { ip netns exec "$NETWORK-$1" "${@:2}"; }

ip -n "$hub" link set lo up
ip -n "$hub" link set bridge up
ip -n "$hub" address add "$subnet.1/24" dev bridge

# machine NAME NUMBER: a namespace with a cable to the bridge.
machine() {
    ip netns add "$NETWORK-$1"
    ip -n "$NETWORK-$1" link add eth0 type veth peer name "port-$1" netns "$hub"
    ip -n "$hub" link set "port-$1" master bridge up
    ip -n "$NETWORK-$1" link set lo up
    ip -n "$NETWORK-$1" link set eth0 up
    ip -n "$NETWORK-$1" address add "$subnet.$2/24" dev eth0
}

# start_machine NAME: its balancer; the port is the same on all of them.
start_machine() {
    : >"$WORK/balancer-$1.err"
    start_listening "balancer-$1" ip netns exec "$NETWORK-$1" "$LOADBALANCER" 80 "${servers[@]}" \
        --admin 127.0.0.1:9000 --lame-duck 3s -c 1s
}

# keep NAME PRIORITY: the example of the manual. Its scripts run as root here, as another user may
# not be able to read this directory.
keep() {
    sed -n '/^global_defs/,/^```/{/^```/!p}' "$ROOT/src/manual/deploy.md" |
        sed -e "s|/usr/bin/loadbalancer|$LOADBALANCER|; s|192.0.2.10|$shared|; s|priority .*|priority $2|" \
            -e 's/script_user .*/script_user root/; /enable_script_security/d' >"$WORK/keepalived-$1.conf"
    spawn "keepalived-$1" ip netns exec "$NETWORK-$1" keepalived -n -l -f "$WORK/keepalived-$1.conf" \
        -p "$WORK/keepalived-$1.pid" -r "$WORK/vrrp-$1.pid"
}

past() { awk "BEGIN { exit !($(now) > $since + $1) }"; }

has_address() { ip -n "$NETWORK-$1" address show dev eth0 | grep "inet $shared/" >/dev/null; }

# stands_by NAME: it would take the address over; not so while its cable is out or its check fails.
stands_by() {
    grep -ho 'Entering [A-Z]* STATE' "$WORK/keepalived-$1.out" "$WORK/keepalived-$1.err" | tail -n 1 |
        grep BACKUP >/dev/null
}

# answers: over the shared address, from where the clients are.
answers() { within hub curl -sS -m 1 -o /dev/null "http://$shared/" 2>/dev/null; }

load_begins() {
    spawn load ip netns exec "$hub" python3 "$STRESS/load.py" "http://$shared" --seconds 100 \
        --clients 64 --rate "$rate" --fresh --timeout 1 --path '/{n}' --check --record "$WORK/record"
    load=$PID
    sleep 1.5
    since=$(now)
}

# load_ends WHAT SPAN: requests may fail only in the 3 s from `since` on, and for SPAN seconds there.
load_ends() {
    await 10 past 4
    kill -TERM "$load"
    wait "$load"
    python3 - "$WORK/record" "$since" "$1" "$2" <<'PYTHON' || fail "$1: more failed than that"
import sys

record, since, what, span = sys.argv[1], float(sys.argv[2]), sys.argv[3], float(sys.argv[4])
rows = [line.split("\t") for line in open(record)]
starts = [float(row[0]) - since for row in rows]
# What was in flight at that moment began before it.
failed = [(start, row[4]) for start, row in zip(starts, rows) if row[4] != "ok"]
first, last = (failed[0][0], failed[-1][0]) if failed else (0, 0)
print(f"{what}: {len(rows)} requests, {len(failed)} failed, from {first:.2f} to {last:.2f} s")
outside = [one for one in failed if not -0.2 <= one[0] <= 3]
for start, outcome in outside[:5]:
    print(f"    at {start:.2f} s: {outcome}")
# The load must have covered what is claimed.
is_covered = min(starts) < 0 and max(starts) > 3.5
sys.exit(bool(outside) or last - first > span or not is_covered)
PYTHON
}

# moves TO WHAT: the address is there within 3 seconds of `since`, and answers.
moves() {
    await 6 has_address "$1" || fail "$2: the address did not move to $1"
    await 6 answers || fail "$2: nothing answers"
    local took
    took=$(awk "BEGIN { print $(now) - $since }")
    check "$2: answers again after $took s" "$took <= 3"
}

machine a 2
machine b 3
for name in server1 server2; do
    start_listening "$name" ip netns exec "$hub" python3 "$STRESS/backend.py" --host "$subnet.1"
done
servers=("$subnet.1:${PORT_OF[server1]}" "$subnet.1:${PORT_OF[server2]}")
start_machine a
start_machine b
keep a 101
await 10 has_address a || die "no address: $(tail -n 3 "$WORK/keepalived-a.out" "$WORK/keepalived-a.err")"
keep b 100
await 10 answers || fail "the shared address does not answer"

load_begins
kill_hard "${PID_OF[balancer-a]}"
moves b 'balancer killed'
load_ends 'balancer killed' 3

start_machine a
await 10 stands_by a || fail "a does not stand by again"
has_address b || fail "the address moved back by itself, in spite of nopreempt"

load_begins
ip -n "$hub" link set port-b down
moves a 'cable pulled'
load_ends 'cable pulled' 3
ip -n "$hub" link set port-b up
await 10 stands_by b || fail "b does not stand by again"
has_address a || fail "the address moved back by itself, in spite of nopreempt"

load_begins
kill -TERM "${PID_OF[balancer-a]}"
moves b 'stopped in order'
await 10 is_gone "${PID_OF[balancer-a]}" || fail "the balancer does not stop"
load_ends 'stopped in order' 1
verdict

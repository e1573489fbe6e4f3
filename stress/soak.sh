#!/usr/bin/env bash
# Usage: soak.sh [SECONDS] [RATE]
#
# Mixed load for SECONDS (default 20) at RATE requests per second at most (default 300): short GETs,
# responses of 300 kB, POSTs with a length and chunked, clients that leave within a response,
# slow readers, and clients with a connection per request, over three scripted servers of which one
# at a time is killed and started again, stopped and continued, restarted, or (as root) black-holed;
# one of them closes pooled connections at random moments. Prints the balancer's memory and
# descriptors ten times and their slopes over the second half. No body may be wrong, no POST
# processed twice, no short GET may fail, and the number of descriptors must be as before when the load is over; in a run of
# ten minutes or more memory must not grow by more than 1 MB per minute.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
seconds=${1:-20} rate=${2:-300}
case $seconds in *[!0-9]* | '') limit 60 "$@" ;; *) limit $((seconds + 120)) "$@" ;; esac
number SECONDS "$seconds" 10
number RATE "$rate" 10

names=(server1 server2 server3)
make_places "${names[@]}"

# up NAME
up() {
    local lifetime=0
    [ "$1" != server1 ] || lifetime=0.5
    start_placed "$1" --delay 0.01 --lifetime "$lifetime"
}

for name in "${names[@]}"; do up "$name"; done
start_balancer "${PLACE[@]}" -s "${POLICY:-least-conn}" --pool-timeout 1s
sleep 1
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$LB_PID/status"; }
descriptors() { ls "/proc/$LB_PID/fd" | wc -l; }
before=$(descriptors)

common=("$URL" --seconds "$seconds" --timeout 30 --path '/item/{n}' --check)
spawn mixed python3 "$STRESS/load.py" "${common[@]}" --clients 24 --rate "$((rate * 2 / 3 + 1))" \
    --mix get=12,big=2,post=4,chunked=2,abort=2,slow=1 --record "$WORK/record.mixed"
mixed=$PID
spawn fresh python3 "$STRESS/load.py" "${common[@]}" --clients 8 --rate "$((rate / 3 + 1))" \
    --fresh --record "$WORK/record.fresh"
fresh=$PID

# fault: a random fault of a random server; it is over when this returns.
fault() {
    local name=${names[RANDOM % 3]} kind=$((RANDOM % kinds))
    case $kind in
        0) kill_hard "${PID_OF[$name]}"; sleep "0.$((RANDOM % 9 + 1))"; up "$name" ;;
        1) kill -STOP "${PID_OF[$name]}"; sleep "$((RANDOM % 3)).5"; kill -CONT "${PID_OF[$name]}" ;;
        2) stop "${PID_OF[$name]}"; up "$name" ;;
        3) kill_hard "${PID_OF[$name]}"; up "$name" ;;
        4) black_hole down; sleep "$((RANDOM % 3)).5"; black_hole up ;;
    esac
    faults[kind]=$((faults[kind] + 1))
}
faults=(0 0 0 0 0) kinds=4
[ -z "$REMOTE" ] || kinds=5

printf '%8s %10s %12s\n' second 'RSS kB' descriptors
start=$(millis)
every=$((seconds * 1000 / 10))
next=0
while elapsed=$(($(millis) - start)) && [ "$elapsed" -lt $((seconds * 1000)) ]; do
    if [ "$elapsed" -ge "$next" ]; then
        printf '%8s %10s %12s\n' "$((elapsed / 1000))" "$(resident)" "$(descriptors)" | tee -a "$WORK/samples"
        next=$((next + every))
    fi
    kill -0 "$LB_PID" 2>/dev/null || break
    fault
    sleep "0.$((RANDOM % 9 + 1))"
done
wait "$mixed" "$fresh"
echo "faults: ${faults[0]} killed, ${faults[1]} stopped, ${faults[2]} restarted, ${faults[3]} killed and restarted," \
    "${faults[4]} black-holed"

no_more() { [ "$(descriptors)" -le $((before + 3)) ]; }
await 10 no_more || fail "$(descriptors) descriptors are open after the load, $before before it"
echo "after the load: $(resident) kB, $(descriptors) descriptors ($before before)"
for load in mixed fresh; do
    echo "$load: $(grep -E '^(requests|failed|wrong|p99_ms|max_ms)' "$WORK/$load.out" | paste -sd ' ')"
    grep '^error' "$WORK/$load.out" | sed "s/^/$load: /"
    [ -n "$(value requests "$WORK/$load.out")" ] || fail "$load: $(tail -n 3 "$WORK/$load.err")"
    [ "$(value wrong "$WORK/$load.out")" = 0 ] || fail "$load: wrong bodies"
    [ "$(value failed_get "$WORK/$load.out")" = 0 ] || fail "$load: GETs failed"
done
twice=$(cat "$WORK"/posts.* | sort | uniq -d | wc -l)
[ "$twice" = 0 ] || fail "$twice POSTs were processed twice"

# slope COLUMN: per minute, by least squares over the second half of the samples.
slope() {
    awk -v column="$1" '{ x[NR] = $1 / 60; y[NR] = $column }
        END {
            for (i = int(NR / 2) + 1; i <= NR; i++) { n++; sx += x[i]; sy += y[i]; sxx += x[i] ^ 2; sxy += x[i] * y[i] }
            d = n * sxx - sx ^ 2
            printf "%.1f", d ? (n * sxy - sx * sy) / d : 0
        }' "$WORK/samples"
}
echo "slopes: $(slope 2) kB and $(slope 3) descriptors per minute"
if [ "$seconds" -ge 600 ]; then check "memory grows by $(slope 2) kB per minute" "$(slope 2) < 1024"; fi
verdict

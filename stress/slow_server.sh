#!/usr/bin/env bash
# Usage: slow_server.sh [SECONDS] [CLIENTS]
#
# Three servers, one of them with --delay 200ms, under CLIENTS clients (default 8) for SECONDS
# (default 3) by least-time, least-conn and p2c: the slow one's share. Then it is restarted without
# the delay on the same port: the time until least-time gives it 20 % again.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
seconds=${1:-3} clients=${2:-8}
number SECONDS "$seconds"
number CLIENTS "$clients"

echo "a page" >"$WORK/page"
slow_port=$(free_port)
start_httpserver fast1 -d "$WORK"
start_httpserver fast2 -d "$WORK"
AT=$slow_port start_httpserver slow -d "$WORK" --delay 200ms

# share POLICY BELOW
share() {
    # shellcheck disable=SC2046
    start_balancer $(addresses fast1 fast2 slow) -s "$1"
    python3 "$STRESS/load.py" "$URL" --seconds "$seconds" --clients "$clients" --path /page >"$WORK/report"
    local all slow
    all=$(value requests "$WORK/report")
    slow=$(awk -v port="$slow_port" '$1 == "served" && $2 == port { n = $3 } END { print n + 0 }' "$WORK/report")
    [ "$(value failed "$WORK/report")" = 0 ] || fail "$1: $(grep -E '^error' "$WORK/report")"
    check "$1: the slow server got $slow of $all requests" "$slow > 0 && $slow < $2 * $all"
}

for policy in least-conn p2c; do
    share "$policy" 0.25
    stop "$LB_PID"
done
share least-time 0.05

# The balancer with least-time keeps running; the server is restarted without its delay.
python3 "$STRESS/load.py" "$URL" --seconds 15 --clients "$clients" --path /page \
    --until-share "$slow_port=0.2" >"$WORK/report" &
load=$!
sleep 1
stop "${PID_OF[slow]}"
AT=$slow_port start_httpserver slow -d "$WORK"
recovered=$(now)
wait "$load"
[ "$(value failed "$WORK/report")" = 0 ] || fail "during the restart: $(grep -E '^error' "$WORK/report")"
reached=$(value share_reached "$WORK/report")
check "least-time: ${reached:+$(awk "BEGIN { printf \"%.1f\", $reached - $recovered }") s} after it became fast it has 20 % again" \
    "${reached:-1e12} - $recovered <= 10"
verdict

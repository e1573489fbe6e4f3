#!/usr/bin/env bash
# Usage: httperf.sh [RATES…]
#
# The documented httperf line (--uri=/100) at each of RATES requests per second (default 5 10 20
# 30) for $DURATION seconds (default 2) over 4 servers, which can serve 40 of these pages per second;
# prints a table. By $POLICY (default least-conn).
# Needs httperf; exit status 77 without.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 600 "$@"
need httperf httperf
rates=("$@")
[ $# -gt 0 ] || rates=(5 10 20 30)
for rate in "${rates[@]}"; do number RATE "$rate"; done

for i in 1 2 3 4; do start_httpserver "server$i" -d "$WORK"; done
# shellcheck disable=SC2046
start_balancer $(addresses server1 server2 server3 server4) -s "${POLICY:-least-conn}"

format='%6s %8s %8s %8s %12s %12s\n'
# shellcheck disable=SC2059
printf "$format" rate sent replies errors 'reply ms' 'longest ms'
for rate in "${rates[@]}"; do
    conns=$((rate * ${DURATION:-2}))
    httperf --hog --server=127.0.0.1 --port="$LB_PORT" --uri=/100 --num-conns="$conns" \
        --rate="$rate" --timeout=20 >"$WORK/httperf.out" 2>"$WORK/httperf.log" ||
        fail "httperf: $(tail -n 1 "$WORK/httperf.log")"
    replies=$(sed -n 's/^Total: .* replies \([0-9]*\).*/\1/p' "$WORK/httperf.out")
    errors=$(sed -n 's/^Errors: total \([0-9]*\).*/\1/p' "$WORK/httperf.out")
    good=$(sed -n 's/^Reply status: .* 2xx=\([0-9]*\).*/\1/p' "$WORK/httperf.out")
    time=$(sed -n 's/^Reply time \[ms\]: response \([0-9.]*\).*/\1/p' "$WORK/httperf.out")
    longest=$(sed -n 's/^Connection time \[ms\]: .* max \([0-9.]*\).*/\1/p' "$WORK/httperf.out")
    # shellcheck disable=SC2059
    printf "$format" "$rate" "$conns" "$replies" "$errors" "$time" "$longest"
    if [ "$good" != "$conns" ] || [ "$errors" != 0 ]; then
        fail "rate $rate: $good of $conns good responses, $errors errors"
    fi
done
verdict

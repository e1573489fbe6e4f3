#!/usr/bin/env bash
# Usage: setup.sh [SERVERS] [POLICY]
#
# Starts SERVERS demo backends (default 4) and the balancer over them by POLICY (default rr) on
# port 8080, or $PORT; prints what to try; runs until Ctrl-C, which stops all of it.
# $SECONDS_MAX is its longest time (default: a day).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit "${SECONDS_MAX:-86400}" "$@"
servers=${1:-4} policy=${2:-rr}
number SERVERS "$servers"
port=${PORT:-8080}
number PORT "$port" 0

echo "a file from the backends" >"$WORK/hello.txt"
names=()
for ((i = 1; i <= servers; i++)); do
    start_httpserver "server$i" -d "$WORK" -l "$WORK/server$i.log"
    names+=("server$i")
done
# shellcheck disable=SC2046
LISTEN=$port start_balancer $(addresses "${names[@]}") -s "$policy"
cat "$WORK/balancer.err"
cat <<END

Try, in another terminal (the number is that of the terms of pi, 1 ms each):
  curl -i http://localhost:$LB_PORT/100
  curl -i http://localhost:$LB_PORT/hello.txt
  curl -T README.md http://localhost:$LB_PORT/copy.md
  PORT=$LB_PORT stress/stress_test.sh 400 16
  PORT=$LB_PORT stress/run_parallel_clients.sh
  httperf --server=localhost --port=$LB_PORT --uri=/100 --num-conns=100 --rate=5
  kill -9 ${PID_OF[server1]}     (the first server; the others take over)
The servers' logs: $WORK/server*.log
Ctrl-C stops all of it.
END
if [ -n "${READY_FILE:-}" ]; then echo "$LB_PORT" >"$READY_FILE"; fi
tail -n +2 -f --pid="$LB_PID" "$WORK/balancer.err" &
# Not `wait`: a signal that comes just before it is handled only when it returns.
until is_gone "$LB_PID"; do sleep 0.2; done
die "the balancer exited"

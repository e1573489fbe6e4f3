#!/usr/bin/env bash
# Usage: chaos.sh [SECONDS] [SEED]
#        chaos.sh [SECONDS] --seed SEED
#
# Everything at once for SECONDS (default 10): balancers of drawn configurations one after the other
# (modes, strategies, with and without an admin address, collected and streamed bodies, a record, an
# access log), each with 100 descriptors, over servers of which half are killed, hang, reset, or
# answer garbage at any moment, while the list is edited (weights, limits, drain, down, servers that
# go and come, a bad line), the log is reopened, and bad clients do all they can: half heads, slow
# readers and uploads, resets, garbage, silence. Beside them are well-behaved clients, which must not
# notice. At the end of each the program is alive, has its descriptors and its memory back, stops
# with status 0 and without a panic, and what it recorded can be replayed. Prints the seed: the same
# one draws the same configurations and events.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
seconds='' seed=''
while [ $# -gt 0 ]; do
    case $1 in
        --seed) shift; seed=${1:-} ;;
        -*) limit 1 "$1" ;;
        *) if [ -z "$seconds" ]; then seconds=$1; else seed=$1; fi ;;
    esac
    shift
done
number SECONDS "${seconds:=10}" 5
number SEED "${seed:=$((RANDOM * 32768 + RANDOM))}" 0
limit $((seconds * 3 + 120)) "$seconds" "$seed"

spawn chaos python3 "$STRESS/chaos.py" "$LOADBALANCER" "$seconds" "$seed" "$WORK"
wait "$PID" || FAILURES=1
cat "$WORK/chaos.out" "$WORK/chaos.err"
verdict

#!/usr/bin/env bash
# Usage: interrupts.sh [COUNT]
#
# Starts setup.sh COUNT times (default 20) and interrupts it as Ctrl-C does: once or twice, after a
# random time of at most $WITHIN ms (default 600). Fails if one of its processes is left after 8 s.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 600 "$@"
count=${1:-20}
number COUNT "$count"
within=${WITHIN:-600}
number WITHIN "$within"

group_is_gone() {
    ! kill -0 -- "-$1" 2>/dev/null
}

# pause MILLISECONDS
pause() {
    sleep "$(($1 / 1000)).$(printf '%03d' $(($1 % 1000)))"
}

# Each background job has a process group of its own, which Ctrl-C reaches as a whole. A job of a
# shell without job control, such as all.sh, inherits an ignored SIGINT, hence --default-signal.
set -m
left=0
for ((i = 0; i < count; i++)); do
    PORT=0 env --default-signal=INT bash "$STRESS/setup.sh" 4 >"$WORK/setup.out" 2>&1 </dev/null &
    group=$!
    after=$((RANDOM % within)) again=$((RANDOM % 10))
    pause "$after"
    kill -INT -- "-$group"
    if [ $((i % 2)) = 1 ]; then
        pause "$again"
        kill -INT -- "-$group" 2>/dev/null
    fi
    if ! await 8 group_is_gone "$group"; then
        left=$((left + 1))
        echo "interrupted after $after ms it left these processes:"
        ps -e -o pgid=,pid=,args= | awk -v group="$group" '$1 == group'
        kill -KILL -- "-$group"
    fi
done
set +m
check "interrupted $count times, setup.sh left processes $left times" "$left == 0"
verdict

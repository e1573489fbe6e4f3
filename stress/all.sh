#!/usr/bin/env bash
# Usage: all.sh [SCRIPTS…]
#
# Runs the scripts here (or only those named) in their short form, one after the other, in about four
# minutes, and prints a table. The output of a failed script follows its row. Exit status 1 if one
# failed; a script whose tool is missing is skipped, which is no failure.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 900 "$@"
unset PORT

# setup.sh runs until it is stopped: start it, send requests, stop it; no process may be left.
set_up() {
    local pid code left
    PORT=0 READY_FILE=$WORK/ready spawn setup bash "$STRESS/setup.sh" 4 least-conn
    pid=$PID
    if ! await 20 test -s "$WORK/ready"; then
        cat "$WORK/setup.out" "$WORK/setup.err"
        return 1
    fi
    PORT=$(cat "$WORK/ready") bash "$STRESS/stress_test.sh" 40 8
    code=$?
    left=$(sed -n 's/.*kill -9 \([0-9]*\) .*/\1/p' "$WORK/setup.out")
    kill -TERM "$pid"
    await 10 is_gone "$pid" || { echo "setup.sh does not end"; code=1; }
    if [ -z "$left" ] || ! is_gone "$left"; then
        echo "setup.sh left a server running"
        code=1
    fi
    return "$code"
}

scripts=(setup.sh interrupts.sh stress_test.sh run_parallel_clients.sh httperf.sh diff_test.sh distribution.sh
    slow_server.sh abuse.sh chaos.sh live_list.sh sticky.sh deploy.sh takeover.sh faults.sh
    networks.sh websocket.sh redis.sh
    differential.sh soak.sh)
[ $# -eq 0 ] || scripts=("$@")
for script in "${scripts[@]}"; do
    [ -f "$STRESS/$script" ] || die "there is no $script here"
done

printf '%-24s %-8s %8s  %s\n' script result seconds output
for script in "${scripts[@]}"; do
    start=$(millis)
    if [ "$script" = setup.sh ]; then
        set_up >"$WORK/$script.log" 2>&1
    else
        spawn "$script" bash "$STRESS/$script"
        wait "$PID"
    fi
    code=$?
    took=$(awk "BEGIN { printf \"%.1f\", ($(millis) - $start) / 1000 }")
    cat "$WORK/$script.out" "$WORK/$script.err" >>"$WORK/$script.log" 2>/dev/null
    case $code in
        0) result=OK ;;
        "$SKIPPED") result=skipped ;;
        *) result=FAIL; FAILURES=$((FAILURES + 1)) ;;
    esac
    # The last line other than OK.
    said=$(grep -vxE 'OK|YAY|FAIL' "$WORK/$script.log" | tail -n 1 | cut -c 1-90)
    printf '%-24s %-8s %8s  %s\n' "$script" "$result" "$took" "$said"
    [ "$result" != FAIL ] || sed "s/^/    /" "$WORK/$script.log"
done
verdict

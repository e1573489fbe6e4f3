#!/usr/bin/env bash
# Usage: faults.sh [SECONDS] [RATE]
#
# RATE requests per second (default 200; two GETs to one POST) over three scripted servers that
# record the id of every POST they act upon. In turn, with SECONDS (default 3) each: one server is
# killed (kill -9), started again, stopped as if it hung (SIGSTOP), continued; then all three are
# restarted one after the other (SIGTERM: what is in flight is finished), and once more by kill -9.
# Per fault: failed GETs (must be 0), POSTs done twice or answered but not done (must be 0), failed
# POSTs (told: one that may have been acted upon is never repeated), and the time until the last GET
# and the last POST that took more than 250 ms was answered. A GET that waits for a hung server is
# asked elsewhere once its probes have hung for 1 to 2 s; a POST waits for the server itself.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 600 "$@"
seconds=${1:-3} rate=${2:-200}
number SECONDS "$seconds" 2
number RATE "$rate" 20

names=(server1 server2 server3)
declare -A port=()
for name in "${names[@]}"; do port[$name]=$(free_port); done

# up NAME
up() {
    AT=${port[$1]} start_scripted "$1" --delay 0.1 --record "$WORK/posts.$1"
}

for name in "${names[@]}"; do up "$name"; done
# shellcheck disable=SC2046
start_balancer $(addresses "${names[@]}") -s "${POLICY:-rr}" -c 500ms --health-timeout 500ms \
    --response-timeout 3s
total=$((seconds * 6 + 3))
spawn load python3 "$STRESS/load.py" "$URL" --seconds "$total" --clients 96 --rate "$rate" \
    --path '/item/{n}' --check --mix get=2,post=1 --record "$WORK/record"
load=$PID
sleep 1

# begin FAULT: each begins SECONDS after the one before.
began=$(millis)
begin() {
    local left=$((began - $(millis)))
    [ "$left" -le 0 ] || sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"
    printf '%s\t%s\n' "$(now)" "$1" >>"$WORK/faults"
    began=$((began + seconds * 1000))
}

begin 'kill -9'
kill_hard "${PID_OF[server1]}"
begin 'start again'
up server1
begin 'SIGSTOP'
kill -STOP "${PID_OF[server2]}"
begin 'SIGCONT'
kill -CONT "${PID_OF[server2]}"
begin 'rolling restart'
for name in "${names[@]}"; do
    stop "${PID_OF[$name]}"
    up "$name"
    sleep 0.5
done
begin 'rolling kill -9'
for name in "${names[@]}"; do
    kill_hard "${PID_OF[$name]}"
    up "$name"
    sleep 0.5
done
wait "$load"
grep -E '^(requests|failed|wrong|p50_ms|p99_ms|error)' "$WORK/load.out"

python3 - "$WORK" <<'PYTHON'
import collections, glob, sys

work, bad = sys.argv[1], 0
faults = [line.rstrip("\n").split("\t") for line in open(f"{work}/faults")]
faults = [(float(time), name) for time, name in faults]
acted = collections.Counter(
    line.strip() for file in glob.glob(f"{work}/posts.*") for line in open(file))
rows = [line.rstrip("\n").split("\t") for line in open(f"{work}/record")]
rows = [(float(start), float(ms), kind, outcome, ident)
        for start, ms, kind, status, outcome, server, ident in rows]


def owner(row):
    """The fault a request met: the last one before it began, or one that came while it took no
    longer than any (150 ms) does."""
    start, end = row[0], row[0] + row[1] / 1000
    last = max((i for i, (since, _) in enumerate(faults) if since <= start), default=-1)
    after = faults[last + 1][0] if last + 1 < len(faults) else float("inf")
    return last + 1 if end >= after and start > after - 0.15 else last


def slow(rows, since):
    """How many took long, and how long after the fault the last of them was answered."""
    late = [start + ms / 1000 - since for start, ms, *_ in rows if ms > 250]
    return f"{len(late)}, {max(late):.2f} s" if late else "-"


print(f"{'fault':17} {'GETs':>5} {'failed':>6} {'POSTs':>6} {'failed':>6} {'twice':>5} "
      f"{'lost':>4} {'slow GETs until':>16} {'slow POSTs until':>17}")
for index, (since, name) in enumerate(faults):
    mine = [row for row in rows if owner(row) == index]
    gets = [row for row in mine if row[2] == "get"]
    posts = [row for row in mine if row[2] == "post"]
    failed_gets = sum(row[3] != "ok" for row in gets)
    failed_posts = sum(row[3] != "ok" for row in posts)
    twice = sum(acted[row[4]] > 1 for row in posts)
    # Answered well, but no server has acted upon it.
    lost = sum(row[3] == "ok" and acted[row[4]] == 0 for row in posts)
    print(f"{name:17} {len(gets):5} {failed_gets:6} {len(posts):6} {failed_posts:6} {twice:5} "
          f"{lost:4} {slow(gets, since):>16} {slow(posts, since):>17}")
    bad += failed_gets + twice + lost
twice = sum(count > 1 for count in acted.values())
print(f"{len(acted)} POSTs acted upon, {twice} of them twice")
sys.exit(bad > 0 or twice > 0)
PYTHON
[ $? = 0 ] || fail "a GET failed, or a POST was done twice or lost"
verdict

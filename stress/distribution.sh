#!/usr/bin/env bash
# Usage: distribution.sh [REQUESTS]
#
# REQUESTS (default 1000) by each strategy over 4 servers. Prints per server the expected and the
# actual number of requests (from X-Served-By), and OK or FAIL.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 600 "$@"
requests=${1:-1000}
number REQUESTS "$requests" 200

members=(server1 server2 server3 server4)
echo "a page" >"$WORK/page"

# run OPTIONS-OF-BALANCER -- OPTIONS-OF-LOAD: over four new servers, as least-load counts
# earlier requests; the 4th has the options $FOURTH. The report is in $WORK/report.
run() {
    local options=() name
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    # Probed once at the start: ranks and reports stay as they are.
    for name in "${members[@]:0:3}"; do start_httpserver "$name" -d "$WORK"; done
    # shellcheck disable=SC2086
    start_httpserver server4 -d "$WORK" ${FOURTH:-}
    # shellcheck disable=SC2046
    start_balancer $(addresses "${members[@]}") "${options[@]}" -c 60s -v
    python3 "$STRESS/load.py" "$URL" --requests "$requests" "$@" >"$WORK/report"
    stop "$LB_PID"
    LB_PID=
    for name in "${members[@]}"; do stop "${PID_OF[$name]}"; done
}

# row NAME EXPECTED RULE: checks $WORK/report; RULE is an awk expression over got[1…4], n, keys
# (used), split (keys with more than one server), servers (with any response) and failed.
row() {
    local outcome
    outcome=$(awk -v ports="$(for name in "${members[@]}"; do echo -n "${PORT_OF[$name]} "; done)" \
        -v name="$1" -v wanted="$2" '
        BEGIN { count = split(ports, port, / +/) }
        $1 == "requests" { n = $2 }
        $1 == "failed" { failed = $2 }
        $1 == "served" { at[$2] = $3; servers++ }
        $1 == "key" { if (!($2 in home)) keys++; else if (home[$2] != $3) split_keys++; home[$2] = $3 }
        function abs(x) { return x < 0 ? -x : x }
        # Whether x is y, within a share of all requests.
        function near(x, y, share) { return abs(x - y) <= share * n }
        END {
            for (i = 1; i <= 4; i++) {
                got[i] = sorted[i] = at[port[i]] + 0
                shown = shown sprintf(" %5d", got[i])
            }
            for (i = 1; i <= 4; i++) for (j = i + 1; j <= 4; j++)
                if (sorted[j] < sorted[i]) { x = sorted[i]; sorted[i] = sorted[j]; sorted[j] = x }
            ok = failed == 0 && ('"$3"')
            printf "%-12s %-40s%s  %s\n", name, wanted, shown, ok ? "OK" : "FAIL"
            exit !ok
        }' "$WORK/report") || { FAILURES=$((FAILURES + 1)); }
    echo "$outcome"
    case $outcome in *FAIL) grep -E '^(failed|status|error|key)' "$WORK/report" | head -n 12 ;; esac
}

even='near(sorted[1], n / 4, 0.06) && near(sorted[4], n / 4, 0.06)'
printf '%-12s %-40s %5s %5s %5s %5s\n' strategy expected '1st' '2nd' '3rd' '4th'

run -s first -- --path /page
row first 'all to the first' 'got[1] == n'
run -s rr -- --path /page --clients 1
row rr 'equal, one more or less' 'sorted[4] - sorted[1] <= 1'
run -s rr -- --path /page --clients 16
row 'rr, 16 at once' 'equal, one more or less' 'sorted[4] - sorted[1] <= 1'
run -s rand -- --path /page
row rand 'a quarter each, 6 % of all more or less' "$even"
run -s least-conn -- --path /page --clients 1
row least-conn 'equal when idle (ties in turn)' 'sorted[4] - sorted[1] <= 1'
run -s least-conn -- --path /5 --clients 8
row 'lc, 8 at once' 'a quarter each, 6 % of all more or less' "$even"
run -s least-load -- --path /page
row least-load 'equal, 1 % of all more or less' 'near(sorted[1], n / 4, 0.01) && near(sorted[4], n / 4, 0.01)'
# One at a time: of several, a server that the machine does not schedule rightly gets fewer.
run -s p2c -- --path /page --clients 1
row p2c 'a quarter each, 10 % of all more or less' 'near(sorted[1], n / 4, 0.1) && near(sorted[4], n / 4, 0.1)'
run -s rank -- --path /page
row rank '10, 20, 30, 40 % in some order, ± 6 %' \
    'near(sorted[1], n * .1, .06) && near(sorted[2], n * .2, .06) && near(sorted[3], n * .3, .06) && near(sorted[4], n * .4, .06)'
run -s source -- --path /page
row source 'one client: all to one server' 'sorted[4] == n'
run -s source -- --path /page --sources --keys 24 --clients 4
row 'source, 24' 'each of 24 clients to one, all used' '!split_keys && keys == 24 && servers > 2'
run -s uri -- --path '/page?{k}' --keys 24 --clients 4
row uri 'each of 24 targets to one, most used' '!split_keys && keys == 24 && servers > 2'
run -s header --hash-field X-User -- --path /page --header 'X-User: user{k}' --keys 24 --clients 4
row header 'each of 24 users to one, most used' '!split_keys && keys == 24 && servers > 2'

FOURTH='--delay 20ms' run -s least-time -- --path /page
row least-time '4th is slow: tried, but below 5 %' 'got[4] > 0 && got[4] < n * 0.05 && servers == 4'
verdict

#!/usr/bin/env bash
# Usage: stress_test.sh [N] [C] [MIN]
#
# N requests (default 200) over C parallel curls (default 16) to pages of pi to MIN terms (default
# 10) and up to 49 more. Checks each response, prints requests per second and YAY or FAIL.
# With $PORT it asks the balancer that listens there (setup.sh); else it starts one of its own over
# 4 servers, by $POLICY (default least-conn).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 600 "$@"
requests=${1:-200} clients=${2:-16} min=${3:-10}
number N "$requests"
number C "$clients"
number MIN "$min"

if [ -n "${PORT:-}" ]; then
    url=http://localhost:$PORT
else
    for i in 1 2 3 4; do start_httpserver "server$i" -d "$WORK"; done
    # shellcheck disable=SC2046
    start_balancer $(addresses server1 server2 server3 server4) -s "${POLICY:-least-conn}"
    url=$URL
fi

mkdir "$WORK/answers"
start=$(millis)
for ((i = 0; i < requests; i++)); do
    echo "$i $url/$((min + i % 50))"
done | xargs -P "$clients" -L 1 sh -c \
    'curl -sS -m 60 -w "\nstatus %{http_code}\n" -o - "$2" >"$0/$1" 2>&1 || true' "$WORK/answers"
took=$(($(millis) - start))

python3 - "$WORK/answers" "$requests" "$min" <<'PYTHON'
import re, sys

folder, requests, least = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
servers, wrong = {}, 0
for number in range(requests):
    terms = least + number % 50
    pi = sum(4 / (2 * term + 1) * (-1) ** term for term in range(terms))
    page = open(f"{folder}/{number}").read()
    found = re.search(r"&asymp; ([0-9.]+)<.*?>(\d+) Leibniz .* port (\d+)", page, re.S)
    right = (found and "status 200" in page and int(found[2]) == terms
             and abs(float(found[1]) - pi) < 1e-12)
    if right:
        servers[found[3]] = servers.get(found[3], 0) + 1
    else:
        wrong += 1
        if wrong <= 3:
            print(f"wrong answer for /{terms}: {page.strip()[-200:]}")
for port, count in sorted(servers.items()):
    print(f"server {port}: {count} correct responses")
print(f"{requests - wrong} of {requests} right")
sys.exit(wrong > 0)
PYTHON
right=$?
awk -v n="$requests" -v ms="$took" 'BEGIN { printf "%.1f requests per second\n", n * 1000 / ms }'
if [ "$right" = 0 ]; then echo YAY; else FAILURES=1; fi
verdict

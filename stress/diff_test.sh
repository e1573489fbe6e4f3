#!/usr/bin/env bash
# Usage: diff_test.sh [N] [KBYTES]
#
# Makes 8 random text files (of up to KBYTES, default 300), starts N servers (default 4) and the
# balancer, sends 8 GETs at once N times and compares the responses with the files; then PUTs the 8
# files through the balancer and compares what the servers stored.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
servers=${1:-4} kbytes=${2:-300}
number N "$servers"
number KBYTES "$kbytes"

mkdir "$WORK/site" "$WORK/got"
names=()
for i in 1 2 3 4 5 6 7 8; do
    # Sizes from a few bytes to KBYTES.
    head -c "$((i == 1 ? 7 : kbytes * 1024 * i / 8 * 3 / 4))" /dev/urandom | base64 >"$WORK/site/file$i"
done
for ((i = 1; i <= servers; i++)); do
    start_httpserver "server$i" -d "$WORK/site"
    names+=("server$i")
done
# shellcheck disable=SC2046
start_balancer $(addresses "${names[@]}")

same=0
for ((round = 1; round <= servers; round++)); do
    running=()
    for i in 1 2 3 4 5 6 7 8; do
        spawn "get$i" curl -sS -f -m 60 -o "$WORK/got/$round.$i" "$URL/file$i"
        running+=("$PID")
    done
    wait "${running[@]}"
    for i in 1 2 3 4 5 6 7 8; do
        if diff -q "$WORK/site/file$i" "$WORK/got/$round.$i" >/dev/null; then
            same=$((same + 1))
        else
            fail "GET of file$i in round $round: $(cat "$WORK/get$i.err")"
        fi
    done
done
echo "$same of $((8 * servers)) downloads are the same as the files"

same=0
running=()
for i in 1 2 3 4 5 6 7 8; do
    spawn "put$i" curl -sS -f -m 60 -T "$WORK/site/file$i" "$URL/copy$i"
    running+=("$PID")
done
wait "${running[@]}"
for i in 1 2 3 4 5 6 7 8; do
    if diff -q "$WORK/site/file$i" "$WORK/site/copy$i" >/dev/null &&
        curl -sS -f -m 60 "$URL/copy$i" | diff -q - "$WORK/site/file$i" >/dev/null; then
        same=$((same + 1))
    else
        fail "PUT of file$i: $(cat "$WORK/put$i.err")"
    fi
done
echo "$same of 8 uploads are the same as the files"
verdict

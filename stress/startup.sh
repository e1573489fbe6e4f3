#!/bin/sh
# Milliseconds from exec to the first served request, of the program and of the bare forwarder in
# turn, and the size of the stripped binary.
#
#   stress/startup.sh [ROUNDS]     [default: 21]
. "$(dirname "$0")/measured.sh"
rounds=${1:-21}
need strip binutils
start_backend
port=$(free_port)

round=0
while [ $round -lt "$rounds" ]; do
    "$tools/load" -e "$port" "$program" "127.0.0.1:$port" -b "127.0.0.1:$to" --health off \
        2>/dev/null >>"$home/ours"
    "$tools/load" -e "$port" "$tools/forwarder" pairs "$port" "$to" | tail -n 1 >>"$home/floor"
    round=$((round + 1))
done
median() { sort -n "$1" | sed -n "$((rounds / 2 + 1))p"; }
echo "exec to first response: $(median "$home/ours") ms; bare forwarder $(median "$home/floor") ms" \
    "(medians of $rounds)"
strip -o "$home/stripped" "$program"
echo "stripped binary:      $(($(wc -c <"$home/stripped") / 1024)) KiB"

#!/bin/sh
# Instructions in user space per request, counted by callgrind: exact on a busy
# machine too. Two runs that differ only in their number of requests; the cost of start-up cancels out.
#
#   stress/instructions.sh                               prints the numbers
#   stress/instructions.sh KEEP_ALIVE_MAX ONE_CLIENT_MAX NEW_MAX COUNTING_MAX
#       exit 1 if one is above its ceiling; the last is what --admin adds to a request
#   stress/instructions.sh --profile [new]               the functions, most expensive first (build
#       with CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=1 to see their names)
#   PROXY="COMMAND"  counts another program, see measured.sh
. "$(dirname "$0")/measured.sh"
need valgrind valgrind
start_backend

# Instructions of a whole run with $1 requests, by the program with $options; the load's other
# arguments follow.
options=
count() {
    requests=$1
    shift
    rm -f "$home"/out*
    # shellcheck disable=SC2086
    start_proxy valgrind --tool=callgrind --callgrind-out-file="$home/out" -- $options
    echo | timeout 120 "$tools/load" "$@" -n "$requests" "$port" >"$home/load"
    kill -TERM $proxy
    wait $proxy || true
    proxy=
    total=$(sed -n 's/^\(summary\|totals\): *\([0-9]*\).*/\2/p' "$home/out" | head -n 1)
    [ -n "$total" ] || { echo "instructions.sh: callgrind wrote no total" >&2; exit 1; }
    own=$(own_instructions "$home/out")
}

# Those in the program's own code, without the C library: how many instructions a copy takes there
# depends on where the heap places it, which any option changes.
own_instructions() {
    awk '
        /^c?ob=/ {
            match($0, /\([0-9]+\)/)
            id = substr($0, RSTART, RLENGTH)
            if (index($0, ") ")) of[id] = $0
            if (/^ob/) counts = of[id] ~ /\/loadbalancer$/
            next
        }
        /^calls=/ { getline; next }  # the next line is the cost of what was called
        /^[0-9+*-]/ && counts { sum += $NF }
        END { printf "%d\n", sum }' "$1"
}

# Sets `each` and `own_each`; not in a subshell, as the trap would not know its processes.
per_request() {
    few=1000 many=5000
    count $few "$@"
    first=$total own_first=$own
    count $many "$@"
    each=$(((total - first) / (many - few)))
    own_each=$(((own - own_first) / (many - few)))
}

if [ "${1:-}" = --profile ]; then
    [ "${2:-}" = new ] && mode=-x || mode=
    # shellcheck disable=SC2086
    count 20000 -c 32 $mode
    callgrind_annotate --inclusive="${INCLUSIVE:-yes}" "$home/out" | head -n 70
    exit
fi
per_request -c 32
keep_alive=$each own_off=$own_each
echo "keep-alive, 128 B, 32 connections: $keep_alive instructions per request"
per_request -c 1
one_client=$each
echo "the same, 1 connection:            $one_client instructions per request"
per_request -c 32 -x
new=$each
echo "a connection per request:          $new instructions per request"
if [ -z "${PROXY:-}" ]; then
    options='--admin 0'
    per_request -c 32
    counting=$((own_each - own_off))
    echo "what --admin adds to the first:    $counting instructions per request ($each in all)"
fi
[ $# -eq 0 ] && exit 0
if [ "$keep_alive" -gt "$1" ] || [ "$one_client" -gt "$2" ] || [ "$new" -gt "$3" ] ||
    [ "$counting" -gt "$4" ]; then
    echo "instructions.sh: above a ceiling: $1, $2, $3, $4" >&2
    exit 1
fi

# Sourced by every script here: find the program, start servers and a balancer on free loopback
# ports, wait until they listen, and stop all of them however the script ends.
#
# A script says `limit SECONDS "$@"` right after sourcing this: its time limit. This also prints
# the script's usage, the comment at its top, for --help.

set -u -o pipefail

# Without a trap bash ignores a signal that comes while a command runs that then succeeds. `limit`
# sets traps that also clean up.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

STRESS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$STRESS")
LOADBALANCER=${LOADBALANCER:-target/release/loadbalancer}
case $LOADBALANCER in /*) ;; *) LOADBALANCER=$ROOT/$LOADBALANCER ;; esac

# No __pycache__ in the repository.
export PYTHONDONTWRITEBYTECODE=1

SKIPPED=77
FAILURES=0
WORK=

# limit SECONDS ARGUMENTS…: usage when asked for, then the whole script under a time limit.
limit() {
    local seconds=$1
    shift
    local word
    for word in "$@"; do
        case $word in
            -h | --help) usage; exit 0 ;;
            -*) echo "$(basename "$0"): unknown option $word; see --help" >&2; exit 2 ;;
        esac
    done
    if [ -z "${STRESS_LIMITED:-}" ]; then
        # A signal that is trapped just before exec is lost.
        trap - HUP INT TERM
        STRESS_LIMITED=1 exec timeout -k 6 "$seconds" bash "$0" "$@"
    fi
    unset STRESS_LIMITED
    # A signal calls finish itself: `exit` here, when a second signal comes while the first one's
    # exit trap begins, would end the script at once and leave its servers.
    trap 'finish $?' EXIT
    trap 'finish 129' HUP
    trap 'finish 130' INT
    trap 'finish 143' TERM
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/stress.XXXXXX") || exit 1
    if [ ! -x "$LOADBALANCER" ]; then
        echo "building $LOADBALANCER" >&2
        (cd "$ROOT" && cargo build --release >&2) || exit 1
        [ -x "$LOADBALANCER" ] || die "$LOADBALANCER was not built: set LOADBALANCER to the program"
    fi
}

# The comment at the top of the script.
usage() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# number NAME VALUE [LEAST]: refuses what is not a whole number.
number() {
    case $2 in '' | *[!0-9]*) echo "$(basename "$0"): $1 must be a whole number, not '$2'" >&2; exit 2 ;; esac
    [ "$2" -ge "${3:-1}" ] || { echo "$(basename "$0"): $1 must be at least ${3:-1}" >&2; exit 2; }
}

# need PROGRAM PACKAGE: without it the script is skipped.
need() {
    command -v "$1" >/dev/null && return
    echo "SKIPPED: $1 is not installed (Debian: apt-get install $2)"
    exit $SKIPPED
}

# fail WORDS…: counts and prints a failure.
fail() {
    FAILURES=$((FAILURES + 1))
    echo "FAIL: $*"
}

# check WORDS… CONDITION: the last argument is a test expression, evaluated by awk.
check() {
    local condition=${*: -1}
    set -- "${@:1:$#-1}"
    if [ "$(awk "BEGIN { print ($condition) ? 1 : 0 }" </dev/null)" = 1 ]; then
        echo "OK: $*"
    else
        fail "$* (wanted: $condition)"
    fi
}

# The script's last line and exit status. A balancer that panicked or exited is a failure.
verdict() {
    if [ -n "${LB_PID:-}" ] && ! kill -0 "$LB_PID" 2>/dev/null; then
        fail "the balancer exited"
    fi
    if grep -q panicked "$WORK"/*.err 2>/dev/null; then
        fail "a panic: $(grep -h -m1 -A1 panicked "$WORK"/*.err | tr '\n' ' ')"
    fi
    if [ "$FAILURES" -gt 0 ]; then
        for err in "$WORK"/balancer*.err; do
            [ -e "$err" ] && { echo "--- the last lines of $(basename "$err"):"; tail -n 15 "$err"; }
        done
        echo "FAIL"
        exit 1
    fi
    echo "OK"
    exit 0
}

# spawn NAME COMMAND…: in the background, output in $WORK/NAME.out and .err; sets PID.
spawn() {
    local name=$1
    shift
    "$@" >>"$WORK/$name.out" 2>>"$WORK/$name.err" </dev/null &
    PID=$!
}

# await SECONDS COMMAND…: until the command succeeds.
await() {
    local ends=$(($(millis) + $1 * 1000))
    shift
    until "$@"; do
        [ "$(millis)" -lt "$ends" ] || return 1
        sleep 0.02
    done
}

millis() {
    local now=${EPOCHREALTIME/[.,]/}
    echo $((now / 1000))
}

# The clock of the Python programs here, in seconds.
now() {
    echo "${EPOCHREALTIME/,/.}"
}

# start_listening NAME COMMAND…: spawns what prints "listening on …:PORT"; sets PID and PORT_OF[NAME].
declare -A PORT_OF=() PID_OF=()
start_listening() {
    local name=$1
    : >"$WORK/$name.err"
    spawn "$@"
    PID_OF[$name]=$PID
    if ! await 10 finds_port "$WORK/$name.err"; then
        cat "$WORK/$name.err" >&2
        die "$name did not start"
    fi
    PORT_OF[$name]=$FOUND
}

# finds_port FILE: sets FOUND to the port of the first line `listening on …:PORT`. `read` fails at a
# line that has no end yet, so half a line is not taken for a port.
finds_port() {
    local line
    while read -r line; do
        [[ $line =~ 'listening on '[^\ ]*:([0-9]+) ]] || continue
        FOUND=${BASH_REMATCH[1]}
        return 0
    done <"$1"
    return 1
}

# start_httpserver NAME [OPTIONS…]: a demo backend; port $AT, or a free one.
start_httpserver() {
    local name=$1
    shift
    start_listening "$name" "$LOADBALANCER" httpserver "127.0.0.1:${AT:-0}" "$@"
}

# start_scripted NAME [OPTIONS…]: a scripted backend, see backend.py; port $AT, or a free one.
start_scripted() {
    local name=$1
    shift
    start_listening "$name" python3 "$STRESS/backend.py" --port "${AT:-0}" "$@"
}

# start_balancer [OPTIONS…]: sets LB_PID, LB_PORT and URL. Every option is the program's own.
start_balancer() {
    start_listening balancer "$LOADBALANCER" "127.0.0.1:${LISTEN:-0}" "$@"
    LB_PID=${PID_OF[balancer]}
    LB_PORT=${PORT_OF[balancer]}
    URL=http://127.0.0.1:$LB_PORT
}

# The addresses of the named servers.
addresses() {
    local name
    for name in "$@"; do
        echo "127.0.0.1:${PORT_OF[$name]}"
    done
}

# A port for a server that will be restarted on it: below the range from which the kernel takes
# ports for outgoing connections, so that no other program gets it in between.
free_port() {
    python3 -c '
import random, socket
while True:
    port = random.randrange(12000, 32000)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break'
}

# make_places NAME…: an address for each of these scripted servers, where it can be restarted, in
# PLACE[NAME]. The last gets a network namespace of its own, so that its packets can be dropped;
# REMOTE is its name then, empty where this is not permitted.
declare -A PLACE=()
REMOTE='' NETWORK=stress$$
make_places() {
    local name
    for name in "$@"; do PLACE[$name]=127.0.0.1:$(free_port); done
    # ip, like nginx and haproxy, is in a directory that is not on every user's path.
    PATH=$PATH:/usr/sbin:/sbin
    if make_network "lb$$" "198.18.$(($$ / 256 % 256))" 2>"$WORK/network"; then
        REMOTE=$name
    else
        echo "no server is black-holed: $(head -n 1 "$WORK/network")"
    fi
}

# make_network LINK SUBNET
make_network() {
    command -v ip >/dev/null || { echo 'ip is not installed' >&2; return 1; }
    # A permanent neighbour entry: without it the missing ARP reply would be an error at once.
    ip netns add "$NETWORK" && ip link add "$1" type veth peer name inside netns "$NETWORK" &&
        ip address add "$2.1/30" dev "$1" && ip link set "$1" up &&
        ip -n "$NETWORK" address add "$2.2/30" dev inside && black_hole up &&
        ip neighbour replace "$2.2" nud permanent dev "$1" lladdr \
            "$(ip netns exec "$NETWORK" cat /sys/class/net/inside/address)" &&
        PLACE[$name]=$2.2:${PLACE[$name]##*:}
}

# black_hole down|up: whether packets to and from REMOTE arrive.
black_hole() {
    ip -n "$NETWORK" link set inside "$1"
}

# start_placed NAME [OPTIONS…]: a scripted server at its address, which records its POSTs.
start_placed() {
    local name=$1 prefix=()
    shift
    [ "$name" != "$REMOTE" ] || prefix=(ip netns exec "$NETWORK")
    start_listening "$name" "${prefix[@]}" python3 "$STRESS/backend.py" \
        --host "${PLACE[$name]%:*}" --port "${PLACE[$name]##*:}" \
        --record "$WORK/posts.$name" "$@"
}

# stop PID…: terminates our processes and waits for their end; SIGKILL after 3 seconds.
stop() {
    local pid
    for pid in "$@"; do
        kill -TERM "$pid" 2>/dev/null
        kill -CONT "$pid" 2>/dev/null
    done
    for pid in "$@"; do
        await 3 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
}

is_gone() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    [[ $stat == *") Z "* ]]
}

# kill_hard PID: SIGKILL, and waits for the end.
kill_hard() {
    kill -KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# finish CODE: ends every process of this script and the script. The shell knows what runs: a
# list of our own would lack a process that was started just before the signal.
finish() {
    trap '' HUP INT TERM
    trap - EXIT
    # shellcheck disable=SC2046
    stop $(jobs -p)
    local network
    for network in "/run/netns/$NETWORK" "/run/netns/$NETWORK"-*; do
        [ ! -e "$network" ] || ip netns del "$(basename "$network")"
    done
    if [ -n "${STRESS_KEEP:-}" ]; then echo "kept: $WORK" >&2; else rm -rf "$WORK"; fi
    exit "$1"
}

# load_begins MIX: $rate requests per second to $LB_PORT from here on, over kept connections (of the
# kinds in MIX, see load.py) and with a connection per request, and WebSockets.
load_begins() {
    local url=http://127.0.0.1:$LB_PORT
    rm -f "$WORK"/{kept,fresh,sockets}.{out,err} "$WORK/ended"
    spawn kept python3 "$STRESS/load.py" "$url" --seconds 600 --clients 24 --rate "$((rate * 2 / 3))" \
        --path '/item/{n}' --check --mix "$1" \
        --record "$WORK/record.kept"
    kept=$PID
    spawn fresh python3 "$STRESS/load.py" "$url" --seconds 600 --clients 12 --rate "$((rate / 3))" \
        --fresh --path '/item/{n}' --check --mix get=4,post=2,upload=1 --record "$WORK/record.fresh"
    fresh=$PID
    # Sessions of about a second, one after the other.
    spawn sockets bash -c 'until [ -e "$1/ended" ]; do
        python3 "$2/websocket.py" talk "$3" 6 8 0.1 || echo broken; done' - "$WORK" "$STRESS" "$LB_PORT"
    sockets=$PID
    sleep 1
}

# load_ends PART LEAST: that load ends; nothing failed in it, and more than LEAST requests were made
# over either kind of connection.
load_ends() {
    local load sessions
    touch "$WORK/ended"
    kill -TERM "$kept" "$fresh"
    wait "$kept" "$fresh" "$sockets"
    for load in kept fresh; do
        echo "$1, $load connections: $(grep -E '^(requests|failed|wrong|p99_ms|max_ms)' \
            "$WORK/$load.out" | paste -sd ' ')"
        [ "$(value failed "$WORK/$load.out")" = 0 ] ||
            fail "$1: requests failed: $(grep ^error "$WORK/$load.out" | head -n 3 | paste -sd ';')"
        # Fewer would mean that this measured nothing.
        check "$1, $load connections: requests" "$(value requests "$WORK/$load.out") > $2"
    done
    sessions=$(grep -c '6 of 6 sockets' "$WORK/sockets.out")
    echo "$1: $((sessions * 6)) WebSockets"
    [ "$sessions" -gt 0 ] || fail "$1: no WebSocket came through"
    ! grep -q broken "$WORK/sockets.out" ||
        fail "$1: WebSockets broke: $(grep -hE '^(broken|error)' "$WORK/sockets.out" | sort | uniq -c | paste -sd ';')"
    posts_once "$1" || fail "$1: POSTs were processed twice or lost"
}

# posts_once PART: every POST that was answered was processed, and none was twice.
posts_once() {
    python3 - "$WORK" "$1" <<'PYTHON'
import collections, glob, sys

work, part = sys.argv[1:]
processed = collections.Counter(
    line.strip() for file in glob.glob(f"{work}/posts.*") for line in open(file))
rows = [line.rstrip("\n").split("\t")
        for load in ("kept", "fresh") for line in open(f"{work}/record.{load}")]
answered = [ident for _, _, kind, _, outcome, _, ident in rows
            if kind in ("post", "chunked", "upload") and outcome == "ok"]
twice = sum(count > 1 for count in processed.values())
lost = sum(ident not in processed for ident in answered)
print(f"{part}: {len(answered)} POSTs, {twice} processed twice, {lost} lost")
sys.exit(twice + lost > 0 or not answered)
PYTHON
}

# value NAME FILE: the figure NAME of a report by load.py.
value() {
    awk -v name="$1" '$1 == name { print $2; exit }' "$2"
}

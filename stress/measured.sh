# Sourced by the scripts that measure one program: builds it and the tools, makes a directory for files,
# and stops what was started, however the script ends.
#
# PROXY="COMMAND" measures another program: BACKEND in it is the port it forwards to, PORT the one
# it listens on.
set -eu
name=$(basename "$0")
built=$("$(dirname "$0")/compare.sh" --tools)
tools=${built% *} program=${built##* }
home=$(mktemp -d)
backend= proxy= load=
clean() {
    for pid in $load $proxy $backend; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$home"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null && return
    echo "$name: $1 is missing; on Debian: apt-get install $2" >&2
    exit 1
}

# await FILE TEXT: until the file has a line with the text.
await() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { echo "$name: no '$2' within 60 s" >&2; cat "$1" >&2; exit 1; }
        sleep 0.05
    done
}

free_port() {
    python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'
}

# start_backend [ARGUMENTS]: sets `backend` and `to`, its port.
start_backend() {
    rm -f "$home/backend"
    "$tools/backend" 0 0 "$@" >"$home/backend" &
    backend=$!
    await "$home/backend" '[0-9]'
    read -r to _ <"$home/backend"
}

# start_proxy [RUNNER...] -- [OPTIONS...]: the program, run by RUNNER and with these options, or
# what PROXY says; sets `proxy` and `port`.
start_proxy() {
    runner=
    while [ "$1" != -- ]; do
        runner="$runner $1"
        shift
    done
    shift
    rm -f "$home/proxy"
    if [ -n "${PROXY:-}" ]; then
        port=$(free_port)
        # shellcheck disable=SC2046,SC2086
        $runner $(echo "$PROXY" | sed "s/BACKEND/$to/g; s/PORT/$port/g") >"$home/proxy" 2>&1 &
        proxy=$!
        sleep 3  # another program does not say when it is ready
    else
        # shellcheck disable=SC2086
        $runner "$program" 127.0.0.1:0 -b "127.0.0.1:$to" --health off "$@" >"$home/proxy" 2>&1 &
        proxy=$!
        await "$home/proxy" '://127'
        port=$(sed -n '/listening on/s/.*:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$home/proxy")
    fi
}

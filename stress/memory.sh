#!/bin/sh
# Memory of the program for each client that is idle, waits, has sent half a head or reads slowly,
# and what is left of it 10 s after they left. A figure above its limit is a failure.
#
#   stress/memory.sh [IDLE] [WAITING] [READERS]     [default: 10000 4000 300]
#   PROXY="COMMAND"  measures another program, see measured.sh
#
# It is the resident set, and with it what the program has in pipes, in the kernel.
. "$(dirname "$0")/measured.sh"
idle=${1:-10000} waiting=${2:-4000} readers=${3:-300}
files=$(ulimit -H -n)
if [ "$files" != unlimited ] && [ "$files" -lt $((idle + 2 * waiting + 200)) ]; then
    echo "memory.sh: the open-file limit of $files is too low for $idle clients (ulimit -n)" >&2
    exit 1
fi
ulimit -n "$files"
failures=0
# What may be left after a peak.
rest_max=$((3 * 1024 * 1024))

# A backend and a new proxy for it.
start() {
    start_backend "$1"
    start_proxy -- -N $((waiting + 1000))
}

stop() {
    kill -9 $proxy $backend
    wait $proxy $backend 2>/dev/null || true
    proxy= backend=
}

# Opens clients that stay until `leave`; the arguments are the load's.
come() {
    rm -f "$home/stay" "$home/load"
    mkfifo "$home/stay"
    "$tools/load" "$@" "$port" <"$home/stay" >"$home/load" &
    load=$!
    exec 3>"$home/stay"
    await "$home/load" ready
}

leave() {
    exec 3>&-
    wait $load || true
    load=
}

# Bytes of the resident set.
resident() { awk '/^VmRSS/ {print $2 * 1024}' /proc/$proxy/status; }

# Bytes in the program's pipes: those that were spliced and have not gone on.
piped() {
    python3 -c '
import array, fcntl, os, sys, termios
directory, pipes = f"/proc/{sys.argv[1]}/fd", {}
for name in os.listdir(directory):
    path = f"{directory}/{name}"
    if os.readlink(path).startswith("pipe:"):
        count = array.array("i", [0])
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
            fcntl.ioctl(pipe, termios.FIONREAD, count)
        pipes[os.readlink(path)] = count[0]
print(sum(pipes.values()))' $proxy
}

# Until neither of them has changed for 2 s, a minute at most: with thousands of full sockets the
# kernel is short of memory for them, and slow.
settle() {
    for _ in $(seq 30); do
        then=$(resident)/$(piped)
        sleep 2
        [ "$then" != "$(resident)/$(piped)" ] || break
    done
}

# row NAME FIGURE UNIT LIMIT
row() {
    verdict=
    if [ "$2" -gt "$4" ]; then
        verdict='  FAIL'
        failures=$((failures + 1))
    fi
    printf '%-44s %8s %-5s (at most %s)%s\n' "$1" "$2" "$3" "$4" "$verdict"
}

# peak NAME COUNT LIMIT HELD LOAD...: so many clients at once, and the limit in bytes for each of
# them. HELD of their requests wait for their server.
peak() {
    what=$1 count=$2 limit=$3 held=$4
    shift 4
    start "$held"
    before=$(resident)
    come -c "$count" "$@"
    [ "$held" = 0 ] || await "$home/backend" held
    settle
    with=$(resident)
    in_pipes=$(piped)
    row "$what, $count" $(((with - before + in_pipes) / count)) bytes "$limit"
    [ "$held" = 0 ] || kill -USR1 $backend
    sleep 1
    leave
    sleep 10
    row "  10 s after they left, above the start" $((($(resident) - before) / 1024)) KiB $((rest_max / 1024))
    stop
}

start 0
row "at the start" $(($(resident) / 1024)) KiB 4096
stop
peak "idle client" "$idle" 512 0 -i
peak "waiting request, head of 900 bytes" "$waiting" 2048 "$waiting" -u /held -w -h 900
peak "waiting request, head of 1.5 KiB" "$waiting" 5120 "$waiting" -u /held -w -h 1536
peak "waiting request, head of 3.5 KiB" "$waiting" 5120 "$waiting" -u /held -w -h 3584
peak "unfinished head of 1.5 KiB" "$waiting" 5120 0 -f -h 1536
peak "unfinished head of 3.5 KiB" "$waiting" 5120 0 -f -h 3584
peak "slow reader of 10 MiB" "$readers" 40960 0 -w -u /10485760
[ $failures = 0 ]

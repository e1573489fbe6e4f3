#!/usr/bin/env bash
# Usage: redis.sh [REQUESTS] [CLIENTS]
#
# TCP mode: redis-benchmark with REQUESTS (default 20000) over CLIENTS connections (default 20) to
# two redis servers through -m tcp, directly to one of them for comparison, and a session of 2,000
# pipelined values of up to 10,000 bytes each that must be read back as written.
# Needs redis-server and redis-benchmark; exit status 77 without.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
need redis-server redis-server
need redis-benchmark redis-tools
requests=${1:-20000} clients=${2:-20}
number REQUESTS "$requests"
number CLIENTS "$clients"

for name in redis1 redis2; do
    port=$(free_port)
    mkdir "$WORK/$name"
    spawn "$name" redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no \
        --dir "$WORK/$name"
    await 10 grep -q 'Ready to accept' "$WORK/$name.out" || die "$name did not start"
    PORT_OF[$name]=$port
done
# shellcheck disable=SC2046
start_balancer $(addresses redis1 redis2) -m tcp -s least-conn

# bench NAME PORT
bench() {
    redis-benchmark -h 127.0.0.1 -p "$2" -n "$requests" -c "$clients" -t set,get --csv \
        >"$WORK/bench.out" 2>"$WORK/bench.err" || fail "$1: $(tail -n 2 "$WORK/bench.err")"
    tr -d '"' <"$WORK/bench.out" | awk -F, -v name="$1" '/^(SET|GET),/ {
        printf "%-22s %-4s %9.0f requests/s\n", name, $1, $2 }'
    [ "$(grep -cE '^"(SET|GET)"' "$WORK/bench.out")" = 2 ] || fail "$1: $(cat "$WORK/bench.err" "$WORK/bench.out")"
}
bench straight "${PORT_OF[redis1]}"
bench 'through the balancer' "$LB_PORT"

python3 - "$LB_PORT" <<'PYTHON' || fail "a value was not read back as written"
import random, socket, sys, threading

port, count = int(sys.argv[1]), 2000


def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def reply(stream):
    line = stream.readline()
    if line[:1] == b"$":
        return stream.read(int(line[1:]) + 2)[:-2]
    return line.strip()


values = [random.randbytes(random.randrange(10_000)) for _ in range(count)]
with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
    stream = connection.makefile("rb")

    def send():
        for number, value in enumerate(values):
            connection.sendall(command("SET", f"key:{number}", value))
        for number in range(count):
            connection.sendall(command("GET", f"key:{number}"))

    sender = threading.Thread(target=send)
    sender.start()
    stored = sum(reply(stream) == b"+OK" for _ in range(count))
    same = sum(reply(stream) == value for value in values)
    sender.join()
    # Only now: redis drops unsent data when it sees the client's FIN.
    connection.shutdown(socket.SHUT_WR)
    extra = stream.read()
print(f"{stored} values written, {same} of {count} read back the same, "
      f"{len(extra)} bytes after the half-close")
sys.exit(stored != count or same != count or extra != b"")
PYTHON
verdict

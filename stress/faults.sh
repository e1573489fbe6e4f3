#!/usr/bin/env bash
# Usage: faults.sh [SECONDS] [RATE] [PROXY…]
#
# RATE requests per second (default 200; two GETs to one POST) over three scripted servers that
# record the id of every POST they process, through each PROXY in turn: loadbalancer (the default,
# with default options), haproxy, nginx (Debian's packages with tuned settings, see below). In
# turn, with SECONDS (default 3) each: one server is killed (kill -9), started again, stopped as if
# it hung (SIGSTOP), continued; all are restarted one after the other (SIGTERM: what is in flight is
# finished), then by kill -9; all are down, all are back; one is black-holed (it runs in a network
# namespace whose link is set down; needs root), reachable again; one answers garbage, then 500s.
#
# Per fault: GETs and POSTs that failed, POSTs processed twice or answered but not processed,
# requests that took more than 250 ms, and how long after the fault the last of those began and
# ended. Through the loadbalancer no GET may fail (except 503 while all are down, and bad responses)
# and no POST may be processed twice or lost. A POST that may have been processed is never repeated:
# it fails with its server, or waits for it. At the end two short runs over servers that close
# connections during requests, in which no GET may fail: pooled ones at random moments, and at each
# third request.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 900 "$@"
seconds=${1:-3} rate=${2:-200}
number SECONDS "$seconds" 2
number RATE "$rate" 20
shift $(($# < 2 ? $# : 2))
proxies=("${@:-loadbalancer}")

names=(server1 server2 server3)
make_places "${names[@]}"

servers() { # FORMAT NAME…: a line per server, %a its address and %n its name
    local format=$1 name
    shift
    for name in "$@"; do
        echo "$format" | sed "s/%a/${PLACE[$name]}/; s/%n/$name/"
    done
}

start_haproxy() {
    local at
    at=$(free_port)
    cat >"$WORK/haproxy.cfg" <<CONFIG
global
    maxconn 4000
defaults
    mode http
    timeout connect 200ms
    timeout client 60s
    timeout server 3s
    retries 3
    option redispatch
    retry-on conn-failure empty-response
listen all
    bind 127.0.0.1:$at
    balance roundrobin
    http-request disable-l7-retry unless METH_GET
    option httpchk GET /healthcheck
    default-server check inter 1s fall 2 rise 1
$(servers '    server %n %a' "${names[@]}")
CONFIG
    spawn haproxy haproxy -db -f "$WORK/haproxy.cfg"
    URL=http://127.0.0.1:$at
}

start_nginx() {
    local at
    at=$(free_port)
    cat >"$WORK/nginx.conf" <<CONFIG
$([ "$(id -u)" != 0 ] || echo 'user root;')
daemon off;
pid $WORK/nginx.pid;
error_log $WORK/nginx.log crit;
events { worker_connections 4000; }
http {
    access_log off;
    client_body_temp_path $WORK/nginx.body;
    proxy_temp_path $WORK/nginx.proxy;
    fastcgi_temp_path $WORK/nginx.fastcgi;
    uwsgi_temp_path $WORK/nginx.uwsgi;
    scgi_temp_path $WORK/nginx.scgi;
    upstream all {
$(servers '        server %a max_fails=2 fail_timeout=2s;' "${names[@]}")
        keepalive 64;
    }
    server {
        listen 127.0.0.1:$at;
        location / {
            proxy_pass http://all;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout 200ms;
            proxy_read_timeout 3s;
            proxy_next_upstream error timeout;
        }
    }
}
CONFIG
    spawn nginx nginx -p "$WORK" -c "$WORK/nginx.conf" -e "$WORK/nginx.log"
    URL=http://127.0.0.1:$at
}

start_loadbalancer() {
    # shellcheck disable=SC2046
    start_balancer $(servers %a "${names[@]}")
}

# start PROXY: over all servers; sets URL and PROXY.
start() {
    "start_$1"
    PROXY=$PID
    answers() { python3 "$STRESS/load.py" "$URL" --requests 1 | grep -x 'failed 0' >"$WORK/started"; }
    await 10 answers || { tail "$WORK/$1.err"; die "$1 does not answer"; }
}

end() {
    is_gone "$PROXY" && fail "$1 exited"
    stop "$PROXY"
    [ "$1" != loadbalancer ] || mv "$WORK/balancer.err" "$WORK/balancer$PROXY.err"
    LB_PID=
}

# begin FAULT: each begins SECONDS after the one before.
begin() {
    local left=$((next - $(millis)))
    [ "$left" -le 0 ] || sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"
    printf '%s\t%s\n' "$(now)" "$1" >>"$WORK/faults"
    next=$((next + seconds * 1000))
}

kill_all() {
    local name
    for name in "${names[@]}"; do kill_hard "${PID_OF[$name]}"; done
}

all_faults() {
    local name
    begin 'killed'
    kill_hard "${PID_OF[server1]}"
    begin 'started again'
    start_placed server1 --delay 0.1
    begin 'stopped'
    kill -STOP "${PID_OF[server2]}"
    begin 'continued'
    kill -CONT "${PID_OF[server2]}"
    begin 'rolling restart'
    for name in "${names[@]}"; do
        stop "${PID_OF[$name]}"
        start_placed "$name" --delay 0.1
        sleep 0.3
    done
    begin 'rolling kill'
    for name in "${names[@]}"; do
        kill_hard "${PID_OF[$name]}"
        start_placed "$name" --delay 0.1
        sleep 0.3
    done
    begin 'all down'
    kill_all
    sleep 1
    for name in "${names[@]}"; do start_placed "$name" --delay 0.1; done
    begin 'all back'
    if [ -n "$REMOTE" ]; then
        begin 'black-holed'
        black_hole down
        begin 'reachable again'
        black_hole up
    fi
    begin 'garbage'
    kill -USR1 "${PID_OF[server1]}"
    begin '500s'
    kill -USR2 "${PID_OF[server1]}"
    begin 'well again'
    kill -HUP "${PID_OF[server1]}"
    begin 'end'
}

# run PROXY: all faults, and the table of what they did.
run() {
    local proxy=$1 name load next
    rm -f "$WORK"/posts.* "$WORK/faults" "$WORK/load.out"
    for name in "${names[@]}"; do start_placed "$name" --delay 0.1; done
    start "$proxy"
    spawn load python3 "$STRESS/load.py" "$URL" --seconds 600 --clients 96 --rate "$rate" \
        --path '/item/{n}' --check --mix get=2,post=1 --record "$WORK/record"
    load=$PID
    sleep 1
    next=$(millis)
    all_faults
    kill -TERM "$load"
    wait "$load"
    echo "$proxy: $(grep -E '^(requests|failed|wrong|p50_ms|p99_ms)' "$WORK/load.out" | paste -sd ' ')"
    table "$proxy" || fail "a GET failed, or a POST was processed twice or lost"
    end "$proxy"
    kill_all
}

# closing PROXY: servers that close connections under requests.
closing() {
    local proxy=$1 name failed names=(server1 server2)
    for name in "${names[@]}"; do start_placed "$name" --lifetime 0.05; done
    start "$proxy"
    python3 "$STRESS/load.py" "$URL" --requests 10000 --clients 4 --check --path '/{n}' >"$WORK/random"
    end "$proxy"
    kill_all
    for name in "${names[@]}"; do start_placed "$name" --drop 3; done
    start "$proxy"
    python3 "$STRESS/load.py" "$URL" --requests 600 --clients 1 --check --path '/{n}' >"$WORK/third"
    end "$proxy"
    kill_all
    echo "$proxy: pooled connections closed at a random moment: $(value failed "$WORK/random") of 10000" \
        "GETs fail; closed at each third request: $(value failed "$WORK/third") of 600"
    grep -h ^error "$WORK/random" "$WORK/third"
    failed=$(($(value failed "$WORK/random") + $(value failed "$WORK/third")))
    [ "$proxy" != loadbalancer ] || [ "$failed" = 0 ] || fail "$failed GETs failed"
}

table() {
    python3 - "$WORK" "$1" <<'PYTHON'
import collections, glob, sys

work, proxy, bad = sys.argv[1], sys.argv[2], 0
faults = [line.rstrip("\n").split("\t") for line in open(f"{work}/faults")]
faults = [(float(time), name) for time, name in faults]
acted = collections.Counter(
    line.strip() for file in glob.glob(f"{work}/posts.*") for line in open(file))
rows = [line.rstrip("\n").split("\t") for line in open(f"{work}/record")]
rows = [(float(start), float(ms), kind, outcome, ident)
        for start, ms, kind, status, outcome, server, ident in rows]

# The failures of GETs that are allowed, because no server could do better.
EXCUSED = {
    "all down": ["status 502", "status 503"], "garbage": ["status 502"], "500s": ["status 500"]}


def owner(row):
    """The fault a request met: the last one before it began, or one that came while it took no
    longer than any (150 ms) does."""
    start, end = row[0], row[0] + row[1] / 1000
    last = max((i for i, (since, _) in enumerate(faults) if since <= start), default=-1)
    after = faults[last + 1][0] if last + 1 < len(faults) else float("inf")
    return last + 1 if end >= after and start > after - 0.15 else last


def slow(rows, since):
    """How many took long, and how long after the fault the last of them began and ended."""
    late = [(start - since, start + ms / 1000 - since) for start, ms, *_ in rows if ms > 250]
    if not late:
        return f"{'0':>5} {'-':>5} {'-':>5}"
    begun, ended = (max(column) for column in zip(*late))
    return f"{len(late):5} {max(0, begun):5.2f} {ended:5.2f}"


print(f"{'':17} {'GETs':>5} {'failed':>6} {'slow':>5} {'begun':>5} {'ended':>5} "
      f"{'POSTs':>6} {'failed':>6} {'twice':>5} {'lost':>4} {'slow':>5} {'begun':>5} {'ended':>5}")
for index, (since, name) in enumerate(faults[:-1]):
    mine = [row for row in rows if owner(row) == index]
    gets = [row for row in mine if row[2] == "get"]
    posts = [row for row in mine if row[2] == "post"]
    failed_gets = [row[3] for row in gets if row[3] != "ok"]
    failed_posts = sum(row[3] != "ok" for row in posts)
    twice = sum(acted[row[4]] > 1 for row in posts)
    # A 2xx response, but no server has processed it.
    lost = sum(row[3] == "ok" and acted[row[4]] == 0 for row in posts)
    print(f"{name:17} {len(gets):5} {len(failed_gets):6} {slow(gets, since)} {len(posts):6} "
          f"{failed_posts:6} {twice:5} {lost:4} {slow(posts, since)}")
    unexcused = collections.Counter(it for it in failed_gets if it not in EXCUSED.get(name, []))
    bad += unexcused.total() + twice + lost
    for outcome, count in unexcused.most_common():
        print(f"    {count} GETs: {outcome}")
sys.exit(proxy == "loadbalancer" and bad > 0)
PYTHON
}

for proxy in "${proxies[@]}"; do
    case $proxy in
        loadbalancer) ;;
        haproxy | nginx)
            if ! command -v "$proxy" >/dev/null; then
                echo "$proxy is not installed: skipped"
                continue
            fi ;;
        *) echo "faults.sh: unknown proxy $proxy: use loadbalancer, haproxy or nginx" >&2; exit 2 ;;
    esac
    run "$proxy"
    closing "$proxy"
done
verdict

#!/usr/bin/env bash
# Usage: networks.sh [SECONDS]
#
# Chains with other programs, and names that move under a load of SECONDS each (default 3):
#   haproxy (send-proxy-v2) -> the balancer -> nginx, which reads X-Forwarded-For
#   the balancer in TCP mode (send-proxy, send-proxy-v1) -> nginx and haproxy, which require it
#   gunicorn on a unix socket -> the balancer on a unix socket
#   a name that moves in an /etc/hosts of its own, from 127.0.0.1 to 127.0.0.2 and back
#   a name with `each`, whose addresses grow from three to five
# No request may fail, and each server must see the client's address. A part is skipped where its
# program is missing or no file can be mounted.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
need curl curl
need python3 python3
seconds=${1:-3}
number SECONDS "$seconds"
PATH=$PATH:/usr/sbin:/sbin

# has PROGRAM: whether it is installed; says so if not.
has() {
    command -v "$1" >/dev/null && return
    echo "skipped: $1 is not installed"
    return 1
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# start_nginx NAME LISTEN ANSWER: answers with the text ANSWER, where variables are replaced.
start_nginx() {
    local port temp=''
    port=$(free_port)
    mkdir -p "$WORK/$1"
    for kind in client_body proxy fastcgi uwsgi scgi; do
        temp+="${kind}_temp_path $WORK/$1/$kind; "
    done
    cat >"$WORK/$1/conf" <<CONF
daemon off; master_process off; pid $WORK/$1/pid; error_log stderr warn;
events { }
http { access_log off; default_type text/plain; $temp
  server { listen 127.0.0.1:$port $2; location / { return 200 '$3'; } } }
CONF
    spawn "$1" nginx -e stderr -c "$WORK/$1/conf" -p "$WORK/$1"
    await 10 listens "$port" || die "$1 did not start: $(cat "$WORK/$1.err")"
    PORT_OF[$1]=$port
}

# start_haproxy NAME BIND FRONTEND…: a frontend with these lines.
start_haproxy() {
    local name=$1 bind=$2 port
    shift 2
    port=$(free_port)
    { printf 'defaults\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n'
      printf 'frontend f\n bind 127.0.0.1:%s %s\n' "$port" "$bind"
      printf '%s\n' "$@"; } >"$WORK/$name.cfg"
    spawn "$name" haproxy -db -f "$WORK/$name.cfg"
    await 10 listens "$port" || die "$name did not start: $(cat "$WORK/$name.err")"
    PORT_OF[$name]=$port
}

# sees NAME PORT EXPECTED: a request from 127.0.0.9 is answered so.
sees() {
    local got
    got=$(curl -sS -m 10 --interface 127.0.0.9 "http://127.0.0.1:$2/")
    [ "$got" = "$3" ] && echo "OK: $1: $got" || fail "$1: got '$got', wanted '$3'"
}

# one_balancer NAME OPTIONS…: a balancer beside others.
one_balancer() {
    local name=$1
    shift
    start_listening "$name" "$LOADBALANCER" 127.0.0.1:0 "$@"
}

# quiet NAME: that balancer has refused no header and lost no server.
quiet() {
    ! grep -E 'closed, as| down: ' "$WORK/$1.err" || fail "$1 complains"
}

if has haproxy && has nginx; then
    start_nginx reader '' '$http_x_forwarded_for'
    one_balancer behind "127.0.0.1:${PORT_OF[reader]}" --proxy-protocol 127.0.0.1
    start_haproxy front '' ' mode tcp' ' default_backend b' 'backend b' ' mode tcp' \
        " server lb 127.0.0.1:${PORT_OF[behind]} send-proxy-v2 check inter 100ms"
    sees 'haproxy -> balancer -> nginx' "${PORT_OF[front]}" 127.0.0.9
    quiet behind
    start_nginx wants proxy_protocol '$proxy_protocol_addr'
    start_haproxy wants_too accept-proxy ' mode http' \
        ' http-request return status 200 content-type text/plain lf-string "%[src]"'
    for server in wants wants_too; do
        for word in send-proxy send-proxy-v1; do
            echo "127.0.0.1:${PORT_OF[$server]} $word" >"$WORK/list"
            one_balancer "$server.$word" -f "$WORK/list" -m tcp -c 100ms
            sees "balancer ($word) -> $server" "${PORT_OF[$server.$word]}" 127.0.0.9
            sleep 0.3
            quiet "$server.$word"
        done
    done
fi

if has gunicorn; then
    mkdir "$WORK/app"
    cat >"$WORK/app/app.py" <<'PYTHON'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "8")])
    return [b"gunicorn"]
PYTHON
    spawn gunicorn gunicorn --chdir "$WORK/app" --bind "unix:$WORK/app.sock" app:app
    await 10 test -S "$WORK/app.sock" || die "gunicorn did not start: $(cat "$WORK/gunicorn.err")"
    spawn socket "$LOADBALANCER" "unix:$WORK/lb.sock" "unix:$WORK/app.sock" --socket-mode 600
    socket=$PID
    await 10 test -S "$WORK/lb.sock" || die "no socket: $(cat "$WORK/socket.err")"
    good=$(curl -sS -m 20 --unix-socket "$WORK/lb.sock" 'http://x/[1-200]' | grep -o gunicorn | wc -l)
    check "200 requests over two unix sockets" "$good == 200"
    stop "$socket"
    [ ! -e "$WORK/lb.sock" ] || fail "the socket file is left"
fi

# in_private COMMAND…: with $WORK/hosts as its hosts, and no DNS server. In the background only: it
# becomes the command, so that a signal to the job reaches that.
in_private() {
    exec unshare "$NAMESPACE" sh -c 'mount --bind "$0/hosts" /etc/hosts &&
        mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"' "$WORK" "$@"
}

# hosts NUMBERS…: the name is 127.0.0.N for each of them. In place, as the file is mounted.
hosts() {
    printf '127.0.0.%s web.test\n' "$@" >"$WORK/hosts"
}

# moves NAME LIST HOSTS…: load while the name stands for the one after the other; none may fail.
moves() {
    local name=$1 list=$2 set failed
    shift 2
    # shellcheck disable=SC2086
    hosts $1
    shift
    echo "$list" >"$WORK/list"
    start_listening "$name" in_private "$LOADBALANCER" 127.0.0.1:0 -f "$WORK/list" \
        --resolve-interval 200ms -c 100ms -v
    spawn "$name.load" python3 "$STRESS/load.py" "http://127.0.0.1:${PORT_OF[$name]}" \
        --seconds "$seconds" --clients 8 --path /page
    local load=$PID
    for set in "$@"; do
        sleep "$(awk "BEGIN { print $seconds / ($# + 1) }")"
        # shellcheck disable=SC2086
        hosts $set
    done
    wait "$load"
    failed=$(sed -n 's/^failed //p' "$WORK/$name.load.out")
    check "$name: $(sed -n 's/^requests //p' "$WORK/$name.load.out") requests, none failed" \
        "${failed:-1} == 0"
    curl -sS -m 10 -o /dev/null "http://127.0.0.1:${PORT_OF[$name]}/page?[1-20]"
    await 10 answered "$name" 20 "$(set -- $set; echo $#)" ||
        fail "$name: not all of '$set' answer at the end"
}

# answered NAME COUNT SERVERS: whether the last COUNT requests went to so many servers.
answered() {
    [ "$(tail -n "$2" "$WORK/$1.err" | grep -o ' by [^ ]*' | sort -u | wc -l)" = "$3" ]
}

NAMESPACE=
for option in -m -rm; do
    unshare $option sh -c 'mount --bind /etc/hosts /etc/hosts' 2>/dev/null && NAMESPACE=$option && break
done
if [ -z "$NAMESPACE" ]; then
    echo "skipped: no file can be mounted here"
else
    : >"$WORK/resolv.conf"
    echo "a page" >"$WORK/page"
    port=$(free_port)
    for i in 1 2 3 4 5; do
        start_listening "server$i" "$LOADBALANCER" httpserver "127.0.0.$i:$port" -d "$WORK"
    done
    moves moving "web.test:$port" 1 2 1 2
    moves growing "web.test:$port each" '1 2 3' '1 2 3 4' '1 2 3 4 5'
fi
verdict

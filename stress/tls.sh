#!/usr/bin/env bash
# Usage: tls.sh [HANDSHAKES] [IDLE]
#
# What TLS to clients costs, beside HAProxy and nginx where they are installed, each with one thread
# and the same P-256 certificate: CPU time of the proxy per new and per resumed connection with one
# GET (HANDSHAKES of each, 600), per GET on 16 connections that stay, per GiB of 64 MiB answers, and
# memory per idle client (IDLE, 1,000). CPU time is what the kernel counts for the process; with other
# work on the machine it is still mostly that of the process alone. What TLS adds to a GET is the
# median of seven rounds that alternate, beside what it adds in nginx. At last the 99th percentile of
# GETs on a connection that stays, beside a flood of first messages of handshakes and alone.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 500 "$@"
HANDSHAKES=${1:-600} IDLE=${2:-1000}
number HANDSHAKES "$HANDSHAKES" 50
number IDLE "$IDLE" 50
PATH=$PATH:/usr/sbin:/sbin
need openssl openssl
need wrk wrk
ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -H -n)"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$WORK/key" -out "$WORK/chain" 2>/dev/null ||
    die "openssl made no certificate"
cat "$WORK/chain" "$WORK/key" >"$WORK/both.pem"
mkdir "$WORK/files"
printf x >"$WORK/files/small"
head -c 67108864 /dev/zero >"$WORK/files/large"
start_listening files "$LOADBALANCER" httpserver 127.0.0.1:0 -d "$WORK/files"
to=127.0.0.1:${PORT_OF[files]}

# is_open PORT
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

declare -A AT=() WORKER=()
start_balancer "$to" --health off --cert "$WORK/both.pem"
AT[loadbalancer]=$LB_PORT WORKER[loadbalancer]=$LB_PID
start_listening plain "$LOADBALANCER" 127.0.0.1:0 "$to" --health off
AT[plain]=${PORT_OF[plain]} WORKER[plain]=${PID_OF[plain]}
rounds=(loadbalancer plain)

if command -v haproxy >/dev/null; then
    AT[haproxy]=$(free_port)
    cat >"$WORK/haproxy.cfg" <<EOF
global
    nbthread 1
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend f
    bind 127.0.0.1:${AT[haproxy]} ssl crt $WORK/both.pem alpn http/1.1
    default_backend b
backend b
    http-reuse always
    server s $to
EOF
    spawn haproxy haproxy -db -f "$WORK/haproxy.cfg"
    WORKER[haproxy]=$PID
    await 10 is_open "${AT[haproxy]}" || die "haproxy did not start"
fi
if command -v nginx >/dev/null; then
    AT[nginx]=$(free_port)
    AT[nginx-plain]=$(free_port)
    cat >"$WORK/nginx.conf" <<EOF
daemon off;
master_process off;
pid $WORK/nginx.pid;
error_log $WORK/nginx.log;
events { worker_connections 8000; }
http {
    access_log off;
    client_body_temp_path $WORK/body; proxy_temp_path $WORK/proxy; fastcgi_temp_path $WORK/fastcgi;
    uwsgi_temp_path $WORK/uwsgi; scgi_temp_path $WORK/scgi;
    ssl_certificate $WORK/chain; ssl_certificate_key $WORK/key; ssl_session_cache shared:s:1m;
    upstream u { server $to; keepalive 64; }
    server {
        listen 127.0.0.1:${AT[nginx]} ssl;
        listen 127.0.0.1:${AT[nginx-plain]};
        keepalive_requests 1000000;
        location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
                     proxy_buffering off; }
    }
}
EOF
    spawn nginx nginx -c "$WORK/nginx.conf" -p "$WORK"
    WORKER[nginx]=$PID WORKER[nginx-plain]=$PID
    rounds+=(nginx nginx-plain)
    await 10 is_open "${AT[nginx]}" || die "nginx did not start"
fi

declare -A RESULT=()
printf '%-14s %14s %14s %12s %12s %14s\n' proxy 'new us' 'resumed us' 'GET us' 'MB/CPU s' 'idle bytes'
for name in loadbalancer haproxy nginx plain; do
    [ -n "${AT[$name]:-}" ] || continue
    scheme=https
    [ "$name" != plain ] || scheme=http
    line=$(python3 "$STRESS/tls.py" "$scheme" "${AT[$name]}" "${WORKER[$name]}" "$WORK/chain" \
        "$HANDSHAKES" "$IDLE") || die "tls.py failed for $name"
    # shellcheck disable=SC2086
    printf '%-14s %14s %14s %12s %12s %14s\n' "$name" $line
    read -r new resumed get rate idle <<<"$line"
    RESULT[$name.new]=$new RESULT[$name.resumed]=$resumed RESULT[$name.get]=$get
    RESULT[$name.rate]=$rate RESULT[$name.idle]=$idle
done
ours() { echo "${RESULT[loadbalancer.$1]}"; }

# get_ns NAME: CPU nanoseconds of the proxy per GET on 16 connections, for a second.
get_ns() {
    local scheme=https before after count
    [[ $1 != *plain ]] || scheme=http
    read -r before _ <"/proc/${WORKER[$1]}/schedstat"
    count=$(wrk -t1 -c16 -d1s "$scheme://localhost:${AT[$1]}/small" | awk '/requests in/ { print $1 }')
    read -r after _ <"/proc/${WORKER[$1]}/schedstat"
    echo $(((after - before) / ${count:-1}))
}

# median FILE: of the numbers in it, one a line.
median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# adds NAME PLAIN: the median of what TLS adds to a GET, in nanoseconds.
adds() {
    paste -d' ' "$WORK/gets.$1" "$WORK/gets.$2" | awk '{ print $1 - $2 }' >"$WORK/adds.$1"
    median "$WORK/adds.$1"
}
for _ in 1 2 3 4 5 6 7; do
    for name in "${rounds[@]}"; do
        get_ns "$name" >>"$WORK/gets.$name"
    done
done
added=$(adds loadbalancer plain)
echo "a GET in TLS: $added ns more than in the clear"
[ -z "${AT[nginx]:-}" ] || echo "the same in nginx: $(adds nginx nginx-plain) ns more"

# beside NAME: how much longer 99 % of GETs take at most beside a flood of handshakes: the median of
# three ratios.
beside() {
    local alone beside flood
    for _ in 1 2 3; do
        alone=$(python3 "$STRESS/tls_p99.py" "${AT[$1]}" "$WORK/chain" 3000)
        spawn flood python3 "$STRESS/tls_flood.py" "${AT[$1]}" 20
        flood=$PID
        sleep 0.2
        beside=$(python3 "$STRESS/tls_p99.py" "${AT[$1]}" "$WORK/chain" 1000)
        kill "$flood" 2>/dev/null
        wait "$flood" 2>/dev/null
        echo "$beside $alone" >>"$WORK/p99.$1"
    done
    awk '{ printf "%.1f\n", $1 / $2 }' "$WORK/p99.$1" >"$WORK/ratios.$1"
    median "$WORK/ratios.$1"
}
for name in loadbalancer haproxy nginx; do
    [ -n "${AT[$name]:-}" ] || continue
    RESULT[$name.beside]=$(beside "$name")
    echo "p99 of GETs on one connection beside a flood of handshakes, $name:" \
        "${RESULT[$name.beside]} times that alone (us:" "$(paste -sd, "$WORK/p99.$name"))"
done
if [ -n "${AT[haproxy]:-}" ]; then
    check "a new connection: at most 0.55 of HAProxy's CPU time" "$(ours new) <= 0.55 * ${RESULT[haproxy.new]}"
    check "a resumed one: at most 0.6 of HAProxy's" "$(ours resumed) <= 0.6 * ${RESULT[haproxy.resumed]}"
fi
if [ -n "${AT[nginx]:-}" ]; then
    check "a new connection: at most 0.65 of nginx's" "$(ours new) <= 0.65 * ${RESULT[nginx.new]}"
    check "large answers: as many bytes per CPU second as nginx" "$(ours rate) >= ${RESULT[nginx.rate]}"
fi
check "a GET: at most 2.5 us more than in the clear" "$added <= 2500"
check "beside a flood of handshakes: at most 3 times the p99" "$(ours beside) <= 3"
check "an idle client: at most 3.6 KiB" "$(ours idle) <= 3686"
verdict

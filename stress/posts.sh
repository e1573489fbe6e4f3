#!/usr/bin/env bash
# Usage: posts.sh [POSTS] [SECONDS]
#
# POSTs behind a real nginx (keep-alive time-out 75 s, 1,000 requests on a connection) and a real
# Apache (5 s, 100 requests), both in their default settings: POSTS of them (default 3,000) at random
# intervals of up to 20 ms by 4 clients, then for SECONDS (default 40) at random intervals of 3 to
# 7 s by 6 clients, that is around the time-out of Apache. No POST may fail or reach a server twice,
# and of the first ones at most 5 in 100 may open a connection. A server that is not installed is
# left out.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 900 "$@"
posts=${1:-3000} seconds=${2:-40}
number POSTS "$posts"
number SECONDS "$seconds"
PATH=$PATH:/usr/sbin:/sbin

start_nginx() {
    cat >"$WORK/nginx.conf" <<END
daemon off; master_process off; worker_processes 1; pid $WORK/nginx.pid; error_log stderr warn;
events { }
http {
  access_log $WORK/nginx.log; keepalive_timeout 75s; keepalive_requests 1000;
  client_body_temp_path $WORK/t1; proxy_temp_path $WORK/t2;
  fastcgi_temp_path $WORK/t3; uwsgi_temp_path $WORK/t4; scgi_temp_path $WORK/t5;
  server { listen 127.0.0.1:$1; location / { return 204; } }
}
END
    spawn nginx nginx -e stderr -c "$WORK/nginx.conf" -p "$WORK"
}

start_apache() {
    local modules
    modules=$(dirname "$(find /usr/lib /usr/libexec -name mod_mpm_event.so 2>/dev/null | head -n 1)")
    cat >"$WORK/apache.conf" <<END
ServerRoot $WORK
ServerName localhost
PidFile $WORK/apache.pid
DefaultRuntimeDir $WORK
ErrorLog $WORK/apache.err
Listen 127.0.0.1:$1
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule alias_module $modules/mod_alias.so
$([ "$(id -u)" != 0 ] || printf 'User nobody\nGroup nogroup\n')
KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests 100
CustomLog $WORK/apache.log "%r"
Redirect 204 /
END
    spawn apache "$program" -f "$WORK/apache.conf" -D FOREGROUND
}

# serve NAME PROGRAM: starts it on a free port; false where it is not installed.
serve() {
    if ! command -v "$2" >/dev/null; then
        echo "$1 is left out: it is not installed"
        return 1
    fi
    PLACE[$1]=127.0.0.1:$(free_port)
    "start_$1" "${PLACE[$1]##*:}"
    listens() { (: </dev/tcp/127.0.0.1/"${PLACE[$1]##*:}") 2>/dev/null; }
    await 10 listens "$1" || die "$1 does not listen: $(tail -n 3 "$WORK/$1.err")"
}

# part NAME WORDS…: one part of the load; sets SENT, FAILED and SHARE, the connects in 100 POSTs.
part() {
    local name=$1
    shift
    read -r SENT FAILED SHARE < <(python3 "$STRESS/posts.py" "$LB_PORT" "$ADMIN" "$@" 2>>"$WORK/$name.said")
    [ -n "$SHARE" ] || die "posts.py ended: $(tail -n 3 "$WORK/$name.said")"
}

tried=0
for server in nginx apache; do
    program=$server
    [ "$server" = nginx ] || program=apache2
    command -v "$program" >/dev/null || [ "$server" = nginx ] || program=httpd
    serve "$server" "$program" || continue
    tried=$((tried + 1))
    ADMIN=$(free_port)
    start_balancer "${PLACE[$server]}" --admin "127.0.0.1:$ADMIN" --health off
    part "$server" --posts "$posts" --clients 4 --pause 0:0.02
    all=$SENT
    check "$server: $SENT POSTs, $FAILED failed" "$FAILED == 0"
    check "$server: $SHARE of 100 opened a connection" "$SHARE <= 5"
    part "$server" --seconds "$seconds" --clients 6 --pause 3:7
    all=$((all + SENT))
    check "$server: $SENT POSTs at random intervals of 3 to 7 s, $FAILED failed ($SHARE of 100 opened a connection)" \
        "$FAILED == 0"
    # Apache logs after it has answered.
    logged() { [ "$(grep -c POST "$WORK/$server.log")" -ge "$all" ]; }
    await 5 logged
    check "$server: $(grep -c POST "$WORK/$server.log") of $all reached it" \
        "$(grep -c POST "$WORK/$server.log") == $all"
    head -n 5 "$WORK/$server.said"
    stop "$LB_PID"
    LB_PID=
done
if [ "$tried" = 0 ]; then
    echo "SKIPPED: neither nginx nor Apache is installed (Debian: apt-get install nginx-light apache2)"
    exit $SKIPPED
fi
verdict

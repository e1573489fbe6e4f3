#!/usr/bin/env bash
# Usage: websocket.sh [CLIENTS] [MESSAGES]
#
# CLIENTS WebSockets at once (default 20) through HTTP mode to two echo servers, each with a ping and
# MESSAGES messages (default 40) of 0 to 200,000 bytes; each must come back as it was sent. Then a
# plain request through the same balancer; at the end no tunnel may be open.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit 300 "$@"
clients=${1:-20} messages=${2:-40}
number CLIENTS "$clients"
number MESSAGES "$messages"

start_listening echo1 python3 "$STRESS/websocket.py" serve
start_listening echo2 python3 "$STRESS/websocket.py" serve
# shellcheck disable=SC2046
start_balancer $(addresses echo1 echo2) --pool-timeout 1s
sleep 0.3
# A pipe that large messages went through is kept for the next ones.
sockets() { ls -l "/proc/$LB_PID/fd" | grep -c socket: || :; }
before=$(sockets)
python3 "$STRESS/websocket.py" talk "$LB_PORT" "$clients" "$messages" || fail "a WebSocket failed"
status=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$URL/")
[ "$status" = 426 ] || fail "a plain GET got $status instead of the servers' 426"
no_more() { [ "$(sockets)" -le "$before" ]; }
await 5 no_more || fail "$(sockets) sockets are open, $before before"
verdict

#!/usr/bin/env bash
# Usage: differential.sh [all]
#
# The same 239 unusual requests and responses through this program, nginx and HAProxy, each in front
# of a server that records every byte, in about 10 seconds. Prints where they differ (with `all`:
# everything). Exit status 1 if this program forwarded something ambiguous, more than was sent, or
# anything that it must refuse, or gave a client what is not its response. A peer that is not
# installed is left out.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# nginx and haproxy are in /usr/sbin, which is not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin
limit 120 "$@"
need python3 python3

option=()
case ${1:-} in
    '') ;;
    all) option=(--all) ;;
    *) die "unknown word $1; see --help" ;;
esac
python3 "$STRESS/differential.py" --program "$LOADBALANCER" "${option[@]}" || fail "see above"
verdict

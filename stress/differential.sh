#!/usr/bin/env bash
# Usage: differential.sh [all]
#
# The same 200 odd requests, and 40 odd answers of a server, through this program, nginx and HAProxy,
# each before a server that records every byte, in about 10 seconds. Prints where they differ (with
# `all`: everything). Exit code 1 if this program forwarded something ambiguous, more than was sent
# or anything of what it must refuse, or gave a client what is not its answer. A peer that is not
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

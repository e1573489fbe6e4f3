#!/bin/sh
# How long clients wait at 30 % and 70 % of what the slower of HAProxy and nginx can do: this
# program, both of them and a bare forwarder, p50, p99 and p99.9 of an open loop.
#
#   stress/latency.sh [--rounds N] [--seconds S] [--json FILE]     the table, under 2 minutes
#
# PROGRAM=FILE measures that binary instead of building one. What is measured, and how: latency.py.
COMPARISON=latency.py exec "$(dirname "$0")/compare.sh" "$@"

#!/bin/sh
# Latency of small requests beside busy neighbours: a client that downloads 1 GiB bodies, one that
# uploads them, and 300 that read slowly, against the same small requests alone, in turns.
#
#   stress/neighbours.sh [--rounds N] [--seconds S] [--json FILE]     the table, about a minute
#
# PROGRAM=FILE measures that binary instead of building one. Exit status 1 if p99 beside them is more
# than twice p99 alone. What is measured, and how: neighbours.py.
COMPARISON=neighbours.py exec "$(dirname "$0")/compare.sh" "$@"

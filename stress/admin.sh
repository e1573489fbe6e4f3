#!/bin/sh
# What --admin costs: CPU time per request with the counters fed and /metrics scraped every second,
# to a copy of the program without; and how long a scrape of 500 backends takes.
#
#   stress/admin.sh [--rounds N] [--json FILE]     two tables, in a minute
#
# PROGRAM=FILE measures that binary instead of building one. What is measured, and how: admin.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
built=$("$here/compare.sh" --tools)
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/admin.py" \
    --tools "${built% *}" --program "${built##* }" "$@"

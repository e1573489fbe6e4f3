#!/bin/sh
# How much CPU time per request rises from 2 to 512 backends, and from no idle client to 10,000.
#
#   stress/growth.sh [--rounds N] [--json FILE]     the table, under 2 minutes
#
# PROGRAM=FILE measures that binary instead of building one. What is measured, and how: growth.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
built=$("$here/compare.sh" --tools)
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/growth.py" \
    --tools "${built% *}" --program "${built##* }" "$@"

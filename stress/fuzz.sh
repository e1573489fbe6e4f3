#!/usr/bin/env bash
# Usage: fuzz.sh [SECONDS] [TARGET...]
#        fuzz.sh --merge
#
# Coverage-guided runs of the properties that hold for any input (tests/fuzz), one target after the
# other, SECONDS each (default 600): request, response, chunked, list, argv, proxy, control, records.
# Prints executions and coverage per target. An input that breaks a property is left in
# tests/fuzz/corpus, where
# `cargo test` finds it, and the exit status is 1. Other inputs are kept in target/fuzz/corpus;
# --merge reduces it to the fewest and smallest files that reach the same code, into tests/fuzz.
#
# Needs cargo, a C++ compiler, and libfuzzer-sys from crates.io; no nightly compiler.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TREE=$ROOT/tests/fuzz/corpus
BUILD=${CARGO_TARGET_DIR:-$ROOT/target}/fuzz
FOUND=$BUILD/corpus
# Longest input, and the longest that --merge puts into the tree.
BYTES_MAX=5000
MERGED_BYTES_MAX=600

# cannot REASON: one sentence; the script is skipped.
cannot() {
    echo "fuzz.sh cannot run: $*" >&2
    exit $SKIPPED
}

build() {
    local host cover='' option
    command -v cargo >/dev/null || cannot "cargo is missing, install Rust from https://rustup.rs"
    command -v c++ >/dev/null || cannot "a C++ compiler (c++) is missing; on Debian: apt-get install g++"
    for option in level=4 inline-8bit-counters pc-table trace-compares; do
        cover+=" -Cllvm-args=-sanitizer-coverage-$option"
    done
    host=$(rustc -vV | sed -n 's/^host: //p')
    # Naming the target keeps the flags away from build scripts.
    if ! (cd "$STRESS/fuzz" && RUSTFLAGS="-Cpasses=sancov-module$cover" CARGO_TARGET_DIR=$BUILD \
        timeout -k 10 600 cargo build --quiet --release --locked --target "$host") 2>"$BUILD.err"; then
        cannot "cargo could not build stress/fuzz: $(grep -m1 '^error' "$BUILD.err" || tail -n 1 "$BUILD.err")"
    fi
    FUZZ=$BUILD/$host/release/fuzz
}

# fuzz TARGET SECONDS ARGUMENTS…: bounded, at low priority.
fuzz() {
    local target=$1 seconds=$2
    shift 2
    FUZZ_TARGET=$target nice timeout -k 10 $((seconds + 60)) "$FUZZ" -dict="$STRESS/fuzz/words.dict" \
        -timeout=10 -artifact_prefix="$TREE/$target/" "$@" 2>&1
}

run() {
    local target=$1 seconds=$2 log=$BUILD/$1.log code
    mkdir -p "$FOUND/$target"
    fuzz "$target" "$seconds" -max_total_time="$seconds" -max_len=$BYTES_MAX -print_final_stats=1 \
        "$FOUND/$target" "$TREE/$target" >"$log"
    code=$?
    printf '%-10s %12s %10s %10s\n' "$target" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" \
        "$(sed -n 's/^#.* ft: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
    [ $code -eq 0 ] && return
    FAILURES=$((FAILURES + 1))
    grep -a -A 3 -E 'panicked at|^==[0-9]+== ERROR|Test unit written' "$log"
}

# The fewest files with the same coverage. A file with a `-` in its name (crash-…, or named by
# a person) stays.
merge() {
    local target=$1 kept=$BUILD/merged/$1
    rm -rf "$kept"
    mkdir -p "$kept" "$FOUND/$target"
    fuzz "$target" 600 -set_cover_merge=1 -use_counters=0 -max_len=$MERGED_BYTES_MAX \
        "$kept" "$TREE/$target" "$FOUND/$target" >"$BUILD/$target.log" \
        || { cat "$BUILD/$target.log" >&2; die "$target could not be merged"; }
    find "$TREE/$target" -type f ! -name '*-*' -delete
    cp "$kept"/* "$TREE/$target/"
    echo "$target: $(find "$TREE/$target" -type f | wc -l) files"
}

TARGETS=(request response chunked list argv proxy records)
case ${1:-} in
    -h | --help) usage; exit 0 ;;
    --merge) build; for target in "${TARGETS[@]}"; do merge "$target"; done; exit 0 ;;
esac
SECONDS_EACH=${1:-600}
number SECONDS "$SECONDS_EACH"
shift $(($# > 0))
[ $# -eq 0 ] || TARGETS=("$@")
for target in "${TARGETS[@]}"; do
    [ -d "$TREE/$target" ] || die "there is no target $target: request, response, chunked, list, argv, proxy or records"
done
build
printf '%-10s %12s %10s %10s\n' target executions edges features
for target in "${TARGETS[@]}"; do
    run "$target" "$SECONDS_EACH"
done
[ "$FAILURES" -eq 0 ] && echo OK || { echo FAIL; exit 1; }

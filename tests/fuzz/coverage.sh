#!/bin/sh
# What of the sources the corpus alone reaches: tests/fuzz/coverage.sh [PATTERN]
# Builds into build-fuzz-coverage; PATTERN chooses files (lib/wire, daemon/config ...).
set -eu
cd "$(dirname "$0")/../.."
build="build-fuzz-coverage"
[ -e $build/build.ninja ] || CC=clang CFLAGS='-fprofile-instr-generate -fcoverage-mapping' \
    LDFLAGS=-fprofile-instr-generate meson setup $build -Dfuzz=true -Dtests=false -Db_lundef=false
ninja -C $build

cd $build
set -- "${1-.}"
for binary in tests/fuzz_*; do
    if [ -f "$binary" ] && [ -x "$binary" ]; then
        LLVM_PROFILE_FILE=$binary.profraw "$binary" -runs=0 "../tests/fuzz/corpus/${binary##*fuzz_}" \
            >/dev/null 2>&1
        set -- "$@" -object "$binary"
    fi
done
pattern=$1
shift
llvm-profdata merge -o tests/fuzz.profdata tests/fuzz_*.profraw
llvm-cov report "$@" -instr-profile tests/fuzz.profdata | awk -v pattern="$pattern" '
    NF > 9 && $1 ~ pattern && $1 !~ /tests\// && $8 > 0 {
        printf "%-36s %5d lines %7s  %5d branches %7s\n", $1, $8, $10, $11, $13
    }'

#!/bin/sh
# Branch coverage by the unit tests of a build with -Db_coverage=true: coverage.sh BUILD
# Below 90 % of the branches of a directory it fails.
set -eu
build=$1
cd "$(dirname "$0")/../.."
for directory in lib/wire lib/cache daemon/config; do
    gcovr --root . --object-directory "$build" --filter "$directory/" --branches \
        --fail-under-branch 90
done

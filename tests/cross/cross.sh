#!/bin/sh
# In a root made for it (../roots/root.sh): the whole build and its unit tests for other processors,
# run by qemu. cross.sh "LIBRARIES" ARCH...: Debian's packages; an ARCH has its ARCH.txt here.
set -u
cd "$(dirname "$0")/../.." || exit 1
export DEBIAN_FRONTEND=noninteractive

libraries=$1
shift

# An architecture's libraries take the place of those of the one before.
install() {
    triplet=$(sed -n "s/^c = '\(.*\)-gcc'$/\1/p" "tests/cross/$1.txt")
    # shellcheck disable=SC2046,SC2086 # lists of words
    apt-get -q -y --no-install-recommends install meson pkgconf gcc qemu-user ca-certificates \
        "gcc-$triplet" "libc6-dev-$1-cross" $(printf "%s:$1 " $libraries)
}

try() {
    if ! install "$1" >/var/log/cross 2>&1; then
        cat /var/log/cross
        return 1
    fi
    meson setup "build-$1" --cross-file "tests/cross/$1.txt" --werror -Dtrap_bugs=true &&
        meson compile -C "build-$1" &&
        meson test -C "build-$1" --no-rebuild --suite unit --timeout-multiplier 5
}

passed=0 failed=0
apt-get -q update >/dev/null
for architecture; do
    if try "$architecture"; then
        passed=$((passed + 1))
    else
        echo "failed  $architecture"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]

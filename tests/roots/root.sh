#!/bin/sh
# A Debian root for one command: root.sh [--arch ARCH]... SUITE COMMAND...
# Makes a minimal root with mmdebstrap, puts the committed tree into it as /src, runs the command
# there, takes the root away. Nothing else on the machine changes. Where that cannot be done, it says
# why and counts as skipped. With --arch, packages of that architecture can be installed in it too.
set -eu
cd "$(dirname "$0")/../.."

architectures=$(dpkg --print-architecture)
while [ "$1" = --arch ]; do
    architectures=$architectures,$2
    shift 2
done
suite=$1
shift
mirror=http://deb.debian.org/debian
limit=1500 # seconds; more than twice what it takes on two idle cores

skip() {
    echo "skipped $suite: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

[ "$(id -u)" = 0 ] || skip "making a root needs root"
command -v mmdebstrap >/dev/null || skip "needs mmdebstrap"
unshare --mount --pid --fork --mount-proc true 2>/dev/null || skip "needs namespaces of its own"

place=$(mktemp -d /var/tmp/privydns-root.XXXXXX)
root=$place/root
trap 'rm -rf --one-file-system "$place"' EXIT
trap 'exit 130' INT TERM HUP

has() { # has SUITE: the mirror does
    /usr/lib/apt/apt-helper -q download-file "$mirror/dists/$1/InRelease" "$place/InRelease" \
        >/dev/null 2>&1
}
if ! has "$suite"; then
    ! has stable || {
        echo "root: $mirror has no suite $suite (bookworm, trixie ...)" >&2
        exit 64
    }
    skip "$mirror cannot be reached"
fi

make_root() {
    mmdebstrap --quiet --variant=minbase --architectures="$architectures" "$suite" "$root" "$mirror"
}
make_root || { # a mirror may fail once
    rm -rf --one-file-system "$root"
    make_root
}
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir "$root/src"
git archive HEAD | tar -x -C "$root/src"

# Its own mounts and processes: they end with the first of them. The root is a mount, because in a
# plain directory the tests could not have mount namespaces of their own.
# shellcheck disable=SC2016 # for the shell inside
timeout --kill-after=10 $limit \
    unshare --mount --pid --fork --kill-child sh -euc '
        mount --bind "$0" "$0"
        mount -t proc proc "$0/proc"
        mount -t tmpfs tmpfs "$0/tmp"
        cd "$0"
        exec chroot . env -i HOME=/root LC_ALL=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            sh -c "cd /src && exec \"\$@\"" sh "$@"' "$root" "$@"

#!/bin/sh
# Is what is committed what the program's tables make? Usage: generated.sh PRIVYDNS-GEN [update]
# The lists of the manual stand between two marks.
set -eu
gen=$(realpath "$1")
update=${2-}
cd "$(dirname "$0")/.."
manual=daemon/privydns.yaml.5
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

# shellcheck disable=SC2086 # in a cross build, the command that runs another machine's programs
set -- ${MESON_EXE_WRAPPER-}
"$@" "$gen" yaml >"$scratch/yaml"
"$@" "$gen" man >"$scratch/lists"
awk -v lists="$scratch/lists" '
    /^\.\\" privydns-gen: end/ { inside = 0 }
    !inside { print }
    /^\.\\" privydns-gen: begin/ { inside = 1; while ((getline line < lists) > 0) print line }
' "$manual" >"$scratch/manual"

if [ "$update" = update ]; then
    cp "$scratch/yaml" conf/privydns.yaml
    cp "$scratch/manual" "$manual"
fi
diff -u conf/privydns.yaml "$scratch/yaml"
diff -u "$manual" "$scratch/manual"

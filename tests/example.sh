#!/bin/sh
# The C program that a manual shows. Usage: example.sh MANUAL
sed -n '/^\.Bd -literal$/,/^\.Ed$/{/^\.[BE]d/d;s/\\e/\\/g;p}' "$1"

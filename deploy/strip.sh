#!/bin/sh
# Copies a program to a directory without its debug information, which goes to a file beside it:
#
#   deploy/strip.sh target/release/openim-exporter dist
#
# dist/openim-exporter is a fifth of the size. Debuggers and addr2line find dist/openim-exporter.debug by its name, in the
# program's directory or in a .debug directory below it. Keep it with the release: without it, a core dump says little.
set -eu
[ $# -eq 2 ] || { echo "usage: deploy/strip.sh PROGRAM DIRECTORY" >&2; exit 2; }
objcopy=${OBJCOPY:-objcopy}
command -v "$objcopy" >/dev/null || { echo "$objcopy is missing: apt-get install binutils" >&2; exit 1; }
name=$(basename "$1")
mkdir -p "$2"
"$objcopy" --only-keep-debug "$1" "$2/$name.debug"
"$objcopy" --strip-all --add-gnu-debuglink="$2/$name.debug" "$1" "$2/$name"
chmod 755 "$2/$name"
chmod 644 "$2/$name.debug"

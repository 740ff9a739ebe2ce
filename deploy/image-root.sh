#!/bin/sh
# Creates the root directory of the image:
#
#   deploy/image-root.sh dist/openim-exporter root
#
# It contains the program, this machine's libraries that it is linked to (none if it is static), the certificates of public
# CAs, and a place for the state. Needs root, because /data belongs to the image's user.
set -eu
[ $# -eq 2 ] || { echo "usage: deploy/image-root.sh PROGRAM ROOT" >&2; exit 2; }
[ -x "$1" ] || { echo "$1 is not a program" >&2; exit 1; }
program=$1 root=$2
certificates=/etc/ssl/certs/ca-certificates.crt
command -v readelf >/dev/null || { echo "readelf is missing: apt-get install binutils" >&2; exit 1; }
[ -e $certificates ] || { echo "$certificates is missing: apt-get install ca-certificates" >&2; exit 1; }
umask 022
mkdir "$root"
install -D "$program" "$root/usr/local/bin/openim-exporter"
if readelf --program-headers "$program" | grep -q INTERP; then
    # Fails for a program of another kind of machine: it must be static.
    libraries=$(ldd "$program")
    for library in $(echo "$libraries" | grep -o '/[^ ]*'); do
        install -D "$library" "$root$library"
    done
fi
install -D -m 644 $certificates "$root$certificates"
mkdir -p "$root/etc"
echo 'root:x:0:0::/:/sbin/nologin
openim-exporter:x:65532:65532::/data:/sbin/nologin' >"$root/etc/passwd"
echo 'root:x:0:
openim-exporter:x:65532:' >"$root/etc/group"
# So that names in /etc/hosts take precedence.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# For the image's user, and for any other user whose group is 0, as in OpenShift.
install -d -m 770 -o 65532 -g 0 "$root/data"

#!/bin/sh
# root.sh PROGRAMS ROOT
#
# Lays out the files of the image in ROOT: the programs in the folder PROGRAMS, stripped,
# and of this system the libraries that they need and the certificates of authorities.
set -eu

programs=$1 root=$2
here=$(dirname "$(readlink -f "$0")")
for folder in usr/bin etc/sextant etc/ssl/certs run/sextant; do mkdir -p "$root/$folder"; done
mkdir -p -m 700 "$root/var/lib/sextant"
for program in sextantd sextant; do
    strip -o "$root/usr/bin/$program" "$programs/$program"
    # Where the loader looks for them, also if that is a link here.
    for library in $(ldd "$programs/$program" | grep -o '/[^ ]*'); do
        mkdir -p "$root/$(dirname "$library")"
        cp -L "$library" "$root/$library"
    done
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp "$here/../server/sextant.example.toml" "$root/etc/sextant/sextant.toml"
cp "$here/../LICENSE" "$root/"
echo 'root:x:0:0:root:/:/sbin/nologin' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"

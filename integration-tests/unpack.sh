#!/usr/bin/env bash
# unpack.sh RELEASE FOLDER PACKAGE...
#
# Unpacks packages of a release of Debian into a new FOLDER. Nothing is installed, and
# what they depend on is not fetched.
set -euo pipefail

release=$1 folder=$2
shift 2
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
. "$(dirname "$(readlink -f "$0")")/apt.sh"

further_release "$release"
(cd "$cache" && apt_with apt-get download -qq "$@")
for package in "$cache"/*.deb; do dpkg-deb --extract "$package" "$cache/root"; done
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$cache/root" "$folder"

#!/usr/bin/env bash
# Builds the real API server of Kubernetes and `kubectl`, once (some minutes), fetches
# etcd, and runs the tests that need them.
#
#   kubernetes.sh BUILT            as run.py takes it
#   kubernetes.sh BUILT changed    if what concerns Kubernetes changed
#
# SEXTANT_TOOLS is where tools are kept; what passed is kept in target/kubernetes.
# Nothing is installed.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../..")
built=$(readlink -f "$1")
tools=${SEXTANT_TOOLS:-$root/.tools/bin}
passed=$root/target/kubernetes
paths="server/src/kubernetes server/src/kubernetes.rs server/src/app/kubernetes.rs server/src/config/kubernetes.rs
    docker/kubernetes integration-tests/kubernetes integration-tests/src/cluster.rs integration-tests/tests/kubernetes.rs"
# So far back a change counts as one: a clone has no other hint of what was tried.
commits=20

content() { (cd "$root" && git ls-files -s $paths && git diff HEAD -- $paths) | sha256sum | cut -c1-16; }

is_to_try() {
    [ -e "$passed/passed-$(content)" ] && return 1
    git -C "$root" rev-parse -q --verify "HEAD~$commits" >/dev/null || return 0
    local changed
    changed=$(git -C "$root" diff --name-only "HEAD~$commits" -- $paths) || return 0
    [ -n "$changed" ]
}

# The API server and its client, at the version that go.mod has.
build() {
    local version stamp=$tools/.kubernetes
    version=$(cd "$here" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
    [ "$(cat "$stamp" 2>/dev/null)" = "$version" ] && return
    echo "building kube-apiserver and kubectl $version (once, some minutes)"
    (cd "$here" && CGO_ENABLED=0 go build -trimpath \
        -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$tools/" \
        k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl)
    echo "$version" >"$stamp"
}

# Debian's, unpacked: installed, it would be a service.
fetch_etcd() {
    [ -x "$tools/etcd" ] && return
    local folder
    folder=$(mktemp -d)
    (cd "$folder" && { apt-get download -qq etcd-server 2>/dev/null ||
        { apt-get update -qq && apt-get download -qq etcd-server; }; } && dpkg-deb --extract etcd-server_*.deb .)
    mv "$folder/usr/bin/etcd" "$tools/etcd"
    rm -rf "$folder"
}

if [ "${2:-}" = changed ] && ! is_to_try; then
    echo "nothing changed that concerns Kubernetes"
    exit
fi
mkdir -p "$tools" "$passed"
build
fetch_etcd
SEXTANTD=${SEXTANTD:-$root/target/debug/sextantd} SEXTANT_TOOLS=$tools "$root/integration-tests/run.py" "$built" \
    --package sextant-integration-tests --only kubernetes --ignored
touch "$passed/passed-$(content)"

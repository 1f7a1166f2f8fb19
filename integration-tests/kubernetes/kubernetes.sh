#!/usr/bin/env bash
# Builds the real API server of Kubernetes and `kubectl`, once (some minutes), fetches
# etcd, and runs the tests that need them.
#
#   kubernetes.sh BUILT    as run.py takes it
#
# SEXTANT_TOOLS is where tools are kept.
# Nothing is installed.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../..")
built=$(readlink -f "$1")
tools=${SEXTANT_TOOLS:-$root/.tools/bin}

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

mkdir -p "$tools"
build
fetch_etcd
SEXTANTD=${SEXTANTD:-$root/target/debug/sextantd} SEXTANT_TOOLS=$tools "$root/integration-tests/run.py" "$built" \
    --package sextant-integration-tests --only kubernetes --ignored

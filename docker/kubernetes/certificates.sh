#!/usr/bin/env bash
# An authority, and the two secrets that `base` mounts, as manifests on standard output:
#
#   certificates.sh [CLUSTER [DAYS]] | kubectl apply -f -
#
# The authority's key is not kept: run it again for others, and restart nothing, since
# files of certificates are looked at every few seconds. With cert-manager, let it fill
# secrets of these names instead.
set -euo pipefail

cluster=${1:-default}
days=${2:-365}
namespace=kube-system
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
openssl req -x509 "${key[@]}" -days "$days" -subj "/CN=Sextant CA" \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt 2>/dev/null

# issue NAME USAGE SUBJECT-ALTERNATIVE-NAMES
issue() {
    openssl req "${key[@]}" -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -days "$days" -out "$1.crt" -extfile - 2>/dev/null <<X
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $2
subjectAltName = $3
X
}

# One for all nodes: relay looks for <node>.<cluster>.hubble-grpc.cilium.io.
issue hubble-server-certs serverAuth "DNS:*.$cluster.hubble-grpc.cilium.io"
issue hubble-relay-client-certs clientAuth "DNS:*.$cluster.hubble-relay.cilium.io"

for name in hubble-server-certs hubble-relay-client-certs; do
    cat <<X
---
apiVersion: v1
kind: Secret
metadata:
  name: $name
  namespace: $namespace
type: kubernetes.io/tls
data:
  ca.crt: $(base64 -w0 ca.crt)
  tls.crt: $(base64 -w0 "$name.crt")
  tls.key: $(base64 -w0 "$name.key")
X
done

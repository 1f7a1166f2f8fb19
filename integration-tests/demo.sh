#!/usr/bin/env bash
# Two containers' worth of traffic on one host, watched with the real CLI:
# a client, a web server and DNS, some refused and some dropped. After half of
# DEMO_SECONDS (20) a policy is put in force, and in the end a flow that it denied
# is explained. All of it is in network namespaces; nothing stays behind.
set -euo pipefail

seconds=${DEMO_SECONDS:-20}
host=sx-demo-host client=sx-demo-client web=sx-demo-web
folder=$(mktemp -d)
server=unix://$folder/sextant.sock
pids=()

cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for namespace in $host $client $web; do ip netns del $namespace 2>/dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT

# A container behind the host's interface $2, with address $3, as most CNIs do it.
container() {
    ip netns add "$1"
    ip netns exec "$1" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
    ip -n $host link add "$2" type veth peer name eth0 netns "$1"
    ip -n $host link set "$2" up
    ip -n $host route add "$3/32" dev "$2"
    ip -n "$1" link set lo up
    ip -n "$1" link set eth0 up
    ip -n "$1" addr add "$3/32" dev eth0
    ip -n "$1" route add 169.254.1.1 dev eth0 scope link
    ip -n "$1" route add default via 169.254.1.1
}

ip netns add $host
ip -n $host link set lo up
# The gateway of all containers; their interfaces need no address then.
ip -n $host addr add 169.254.1.1/32 dev lo
ip netns exec $host sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.default.disable_ipv6=1
container $client veth-client 10.77.1.2
container $web veth-web 10.77.2.2
ip netns exec $host nft -f - <<'RULES'
table inet demo {
    chain forward {
        type filter hook forward priority 0;
        tcp dport 8080 drop
    }
}
RULES

cat >"$folder/sextant.toml" <<'CONFIG'
node_name = "demo"

[[endpoint]]
name = "client"
namespace = "demo"
labels = ["app=client"]
addresses = ["10.77.1.2"]
interfaces = ["veth-client"]

[[endpoint]]
name = "web"
namespace = "demo"
labels = ["app=web"]
workload = { name = "web", kind = "Deployment" }
addresses = ["10.77.2.2"]
interfaces = ["veth-web"]
CONFIG

ip netns exec $host "$SEXTANTD" --config "$folder/sextant.toml" --listen "$server" \
    --metrics-listen off --state-dir "$folder/state" 2>"$folder/sextantd.log" &
pids+=($!)
for _ in $(seq 100); do
    "$HUBBLE" --server "$server" status >/dev/null 2>&1 && break
    sleep 0.1
done
"$HUBBLE" --server "$server" status || { cat "$folder/sextantd.log"; exit 1; }

mkdir "$folder/www" && echo hello >"$folder/www/index.html"
ip netns exec $web python3 -m http.server --directory "$folder/www" 80 >/dev/null 2>&1 &
pids+=($!)
ip netns exec $web python3 -m http.server --directory "$folder/www" 8888 >/dev/null 2>&1 &
pids+=($!)
ip netns exec $web dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
    --pid-file= --address=/web.demo/10.77.2.2 >/dev/null 2>&1 &
pids+=($!)

traffic() {
    while true; do
        ip netns exec $client dig +short +tries=1 +time=1 @10.77.2.2 web.demo || true
        ip netns exec $client curl -s http://10.77.2.2/ || true
        ip netns exec $client ping -c 1 -W 1 10.77.2.2 || true
        # Refused: nobody listens there.
        ip netns exec $client curl -s --max-time 1 http://10.77.2.2:81/ || true
        # Denied, once there is a policy.
        ip netns exec $client curl -s --max-time 1 http://10.77.2.2:8888/ || true
        # Dropped: a rule of the host.
        ip netns exec $client curl -s --max-time 1 http://10.77.2.2:8080/ || true
        sleep 1
    done
}
traffic >/dev/null 2>&1 &
pids+=($!)

cat >"$folder/web.yaml" <<'POLICY'
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: demo}
spec:
  description: HTTP and DNS from the client, and nothing else
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "80", protocol: TCP}, {port: "53", protocol: UDP}]}]
POLICY
policy() { "$SEXTANT" --server "$server" policy "$@"; }

echo "hubble observe --follow"
timeout $((seconds / 2)) "$HUBBLE" --server "$server" observe --follow || [ $? = 124 ]
echo
echo "sextant policy apply -f web.yaml"
policy apply -f "$folder/web.yaml"
echo "hubble observe --follow --print-policy-names"
timeout $((seconds - seconds / 2)) "$HUBBLE" --server "$server" observe --follow --print-policy-names || [ $? = 124 ]
denied=$("$HUBBLE" --server "$server" observe --last 1 --type policy-verdict --verdict DROPPED -o json |
    sed -n 's/.*"uuid":"\([^"]*\)".*/\1/p')
echo
echo "sextant policy explain $denied"
policy explain "$denied"

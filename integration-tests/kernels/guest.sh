#!/bin/busybox sh
# Runs as init in the guest: two network namespaces, traffic between them,
# sextantd in each way that it can be started. What it saw goes to /out, and at
# the end as one archive to the second serial port. Nothing is judged in here.
#
# The kernel's command line may have try.cases=NAME,NAME... and try.patience=N,
# how many seconds a start may take.

/bin/busybox mkdir -p /proc /sys /dev /run /tmp /out /etc /var/lib
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=/lib HOME=/tmp NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t tmpfs out /out
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mount -t tracefs trace /sys/kernel/tracing 2>/dev/null
mount -t securityfs security /sys/kernel/security 2>/dev/null
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
hostname guest
echo 'root:x:0:0:root:/:/bin/sh' >/etc/passwd
echo 'root:x:0:' >/etc/group

# The applets of this name are not the real ones.
ip=/tools/ip tc=/tools/tc
server=127.0.0.1:4245
patience=500
cases="nomodules default clsact foreign killed kept vlans namespaces hardened nojit caps nobtf"
# The case without them comes before they are loaded.
late="sch_ingress cls_bpf"
for word in $(cat /proc/cmdline); do
    case $word in
    try.cases=*) cases=$(echo "${word#try.cases=}" | tr ',' ' ') ;;
    try.patience=*) patience=${word#try.patience=} ;;
    esac
done

now() { cut -d' ' -f1 /proc/uptime; }
say() { echo "[$(now)] $*"; }
value() { cat "$1" 2>/dev/null || echo -; }

facts() {
    echo "release $(uname -r)"
    echo "btf $(test -e /sys/kernel/btf/vmlinux && echo yes || echo no)"
    echo "lockdown $(value /sys/kernel/security/lockdown)"
    echo "unprivileged_bpf_disabled $(value /proc/sys/kernel/unprivileged_bpf_disabled)"
    echo "jit_enable $(value /proc/sys/net/core/bpf_jit_enable)"
    echo "jit_harden $(value /proc/sys/net/core/bpf_jit_harden)"
    echo "processors $(nproc)"
    echo "boot_s $(now)"
}

# Interfaces va (here) and vb (in the namespace `other`).
network() {
    for file in all default; do echo 0 >/proc/sys/net/ipv6/conf/$file/accept_dad; done
    $ip link set lo up
    $ip netns add other
    $ip link add va type veth peer name vb netns other
    $ip addr add 10.9.0.1/24 dev va
    $ip -6 addr add fd09::1/64 dev va nodad
    $ip link set va up
    $ip -n other addr add 10.9.0.2/24 dev vb
    $ip -n other -6 addr add fd09::2/64 dev vb nodad
    $ip -n other link set vb up
    $ip -n other link set lo up
    mkdir -p /tmp/www
    dd if=/dev/zero of=/tmp/www/file bs=1024 count=2048 2>/dev/null
    $ip netns exec other httpd -p 80 -h /tmp/www
    httpd -p 80 -h /tmp/www
    /tools/nft -f - <<'RULES'
table inet try {
    chain input {
        type filter hook input priority 0;
        tcp dport 8080 drop
    }
    chain output {
        type filter hook output priority 0;
        tcp dport 8081 drop
    }
}
RULES
}

other() { $ip netns exec other "$@"; }

# What the checks look for; each line has its own port or size.
traffic() {
    ping -q -c 3 -i 0.2 10.9.0.2
    ping -q -c 3 -i 0.2 fd09::2
    ping -q -c 1 -s 4000 10.9.0.2
    wget -q -O /dev/null http://10.9.0.2/file
    wget -q -O /dev/null "http://[fd09::2]/file"
    for n in 1 2 3; do /tools/bash -c "echo $n >/dev/udp/10.9.0.2/9001"; done
    # Answered with a reset.
    nc -w 1 10.9.0.2 81 </dev/null
    # Dropped here: no socket, by a rule on the way in, by a rule on the way out.
    other /tools/bash -c 'echo x >/dev/udp/10.9.0.1/9002'
    other nc -w 1 10.9.0.1 8080 </dev/null
    nc -w 1 10.9.0.2 8081 </dev/null
} >"/out/$name/traffic" 2>&1

little_traffic() {
    # Packets as on the wire, so that the interface's counters can be compared.
    $ip link set va gso_max_segs 1
    other $ip link set vb gso_max_segs 1
    counters >"/out/$name/before"
    ping -q -c 2 -i 0.2 10.9.0.2
    ping -q -c 2 -i 0.2 fd09::2
    wget -q -O /dev/null http://10.9.0.2/file
    other /tools/bash -c 'echo x >/dev/udp/10.9.0.1/9002'
    counters >"/out/$name/after"
} >"/out/$name/traffic" 2>&1

counters() {
    for file in rx_packets tx_packets rx_bytes tx_bytes; do
        echo "$file $(cat /sys/class/net/va/statistics/$file)"
    done
}

filters() {
    for hook in ingress egress; do $tc filter show dev va $hook; done
    $tc qdisc show dev va clsact
}

# What the verifier went through for each program; the kernel tells since 5.16.
verified() {
    /tools/bpftool prog show | sed -n 's/^\([0-9]*\): .* name \(sextant[a-z_]*\).*/\1 \2/p' | while read -r id program; do
        for file in /proc/$pid/fdinfo/*; do
            grep -q "^prog_id:[^0-9]*$id\$" "$file" || continue
            # Links tell their program's number, too.
            count=$(sed -n 's/^verified_insns:[^0-9]*//p' "$file")
            [ -n "$count" ] || continue
            echo "$program $count"
            break
        done
    done
}

# Starts sextantd with the configuration on stdin; waits until it serves.
start() {
    mkdir -p "/out/$name"
    # Of the user that it runs as, and of nobody else.
    # shellcheck disable=SC2086
    [ -n "${again:-}" ] || ${as:-} mkdir -m 700 "/tmp/state-$name"
    cat >"/out/$name/config"
    say "case $name"
    began=$(now)
    # shellcheck disable=SC2086
    ${as:-} /bin/sextantd --config "/out/$name/config" --listen tcp://$server \
        --listen "unix:///tmp/state-$name/socket" \
        --metrics-listen off --state-dir "/tmp/state-$name" 2>"/out/$name/log" &
    pid=$!
    until=$((${began%.*} + patience))
    while kill -0 $pid 2>/dev/null && [ "$(cut -d. -f1 /proc/uptime)" -lt $until ]; do
        if grep -q serving "/out/$name/log"; then
            echo "$began $(now)" >"/out/$name/started"
            filters >"/out/$name/filters-running" 2>&1
            /tools/bpftool link show >"/out/$name/links" 2>&1
            grep -E 'VmRSS|VmHWM' /proc/$pid/status >"/out/$name/memory"
            verified >"/out/$name/verified" 2>/dev/null
            return 0
        fi
        sleep 0.2
    done
    if kill -0 $pid 2>/dev/null; then
        say "case $name: not serving after $patience s"
        stuck $pid
        kill -KILL $pid
    fi
    wait $pid
    echo "exit $?" >"/out/$name/refused"
    cat "/out/$name/log"
    return 1
}

# What a process that does not go on is waiting for.
stuck() {
    for task in /proc/$1/task/*; do
        echo "$(cat $task/comm): $(grep State $task/status)"
        cat $task/stack
    done
} >"/out/$name/stuck" 2>&1

# Asks, stops, and looks at what stays.
finish() {
    # Connections that were closed end after 3 s of silence.
    sleep 6
    /bin/hubble --server $server observe --last 1000 -o jsonpb \
        >"/out/$name/flows" 2>"/out/$name/hubble-errors"
    /bin/hubble --server $server status >"/out/$name/hubble-status" 2>&1
    /bin/sextant --server $server status >"/out/$name/status" 2>&1
    # A packet of the last second is seen, but in no flow yet.
    for try in 1 2 3; do
        /bin/sextant --server $server status -o json >"/out/$name/status.json" 2>&1
        grep -q '"difference"' "/out/$name/status.json" || break
        sleep 1
    done
    case $name in default | clsact) policed ;; esac
    stop TERM
}

# One port of this host is let in, by both families; then nothing is judged any more.
policed() {
    local socket="unix:///tmp/state-$name/socket"
    printf '%s\n' '{"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "web"},
        "spec": {"nodeSelector": {}, "ingress": [{"fromEntities": ["world"], "toPorts": [{"ports": [{"port": "80"}]}]}]}}' >/tmp/web.json
    /bin/sextant --server "$socket" policy apply --force -f /tmp/web.json >"/out/$name/applied" 2>&1
    tell allowed4 other timeout 10 /tools/bash -c 'exec 3<>/dev/tcp/10.9.0.1/80'
    tell allowed6 other timeout 10 /tools/bash -c 'exec 3<>/dev/tcp/fd09::1/80'
    tell denied4 other ping -q -c 1 -W 1 10.9.0.1
    tell denied6 other ping -q -c 1 -W 1 fd09::1
    tell answered4 ping -q -c 1 -W 2 10.9.0.2
    tell answered6 ping -q -c 1 -W 2 fd09::2
    sleep 1
    /bin/hubble --server $server observe --last 100 --print-policy-names >"/out/$name/verdicts" 2>&1
    /bin/sextant --server "$socket" policy delete web >>"/out/$name/applied" 2>&1
    tell open4 other ping -q -c 1 -W 2 10.9.0.1
}

# Policies stay in force without the daemon, and the next one takes them over.
kept() {
    local socket="unix:///tmp/state-$name/socket"
    printf '%s\n' '{"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "web"},
        "spec": {"nodeSelector": {}, "ingress": [{"fromEntities": ["world"], "toPorts": [{"ports": [{"port": "80"}]}]}],
        "egress": [{"toEntities": ["all"]}], "egressDeny": [{"toEntities": ["world"], "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}]}}' >/tmp/web.json
    /bin/sextant --server "$socket" policy apply --force -f /tmp/web.json >"/out/$name/applied" 2>&1
    stop KILL
    alone
    # The same state, where the first one left it.
    mv "/tmp/state-$name" /tmp/state-kept-again
    name=kept-again again=1
    if start </tmp/config; then
        alone
        stop TERM
    fi
    again=
    rm -r /tmp/bpf/sextant
    $tc qdisc del dev va clsact 2>/dev/null
    tell open other ping -q -c 1 -W 2 10.9.0.1
}

alone() {
    tell allowed4 other timeout 10 /tools/bash -c 'exec 3<>/dev/tcp/10.9.0.1/80'
    tell allowed6 other timeout 10 /tools/bash -c 'exec 3<>/dev/tcp/fd09::1/80'
    tell denied4 other ping -q -c 1 -W 1 10.9.0.1
    tell denied6 other ping -q -c 1 -W 1 fd09::1
    # At once: a time-out is another number.
    tell refused4 timeout 10 /tools/bash -c 'exec 3<>/dev/tcp/10.9.0.2/80'
    tell refused6 timeout 10 /tools/bash -c 'exec 3<>/dev/tcp/fd09::2/80'
}

# The same addresses in a VLAN of each end and without one.
vlans() {
    $ip link add link va name va.10 type vlan id 10 || return
    other $ip link add link vb name vb.10 type vlan id 10
    $ip addr add 10.8.0.1/24 dev va.10
    other $ip addr add 10.8.0.2/24 dev vb.10
    $ip link set va.10 up
    other $ip link set vb.10 up
    # It is attached within a moment.
    sleep 4
    ping -q -c 3 -i 0.2 10.8.0.2
    ping -q -c 2 -i 0.2 10.9.0.2
} >"/out/$name/traffic" 2>&1

# How a command ended.
tell() {
    local what=$1
    shift
    "$@" >/dev/null 2>&1
    echo "$what $?" >>"/out/$name/policed"
}

stop() {
    began=$(now)
    kill -"$1" $pid
    wait $pid
    echo "$? $began $(now)" >"/out/$name/ended"
    filters >"/out/$name/filters-after" 2>&1
    /tools/bpftool link show >"/out/$name/links-after" 2>&1
    /tools/bpftool prog show 2>/dev/null | grep sextant >"/out/$name/programs-after"
}

plain='[datapath]
interfaces = ["va"]
other_idle = "3s"'
# These are about the hook; without drops they start faster.
clsact="$plain
force_clsact = true
drops = false"

run_case() {
    name=$1
    as=
    case $name in
    default)
        echo "$plain" | start_and traffic ;;
    clsact)
        echo "$clsact" | start_and little_traffic ;;
    foreign)
        # A qdisc that somebody else made stays.
        $tc qdisc add dev va clsact
        echo "$clsact" | start_and little_traffic
        $tc qdisc del dev va clsact ;;
    killed)
        name=killed-first
        echo "$clsact" >/tmp/config
        start </tmp/config && stop KILL
        name=killed
        echo "$clsact" | start_and little_traffic ;;
    kept)
        mkdir -p /tmp/bpf
        mount -t bpf bpf /tmp/bpf
        printf '%s\n[policy]\non_exit = "keep"\ndeny_error = "refused"\nunknown = "deny"\npins = "/tmp/bpf/sextant"\n' "$plain" >/tmp/config
        start </tmp/config && kept ;;
    vlans)
        printf '%s\nvlan_in_key = true\n' "$plain" | sed 's/"va"/"va*"/' >/tmp/config
        start_and vlans </tmp/config
        $ip link del va.10 ;;
    namespaces)
        echo "$plain" | sed 's/"va"/"v*"/' >/tmp/config
        printf '[[datapath.namespace]]\npath = "/run/netns/*"\n' >>/tmp/config
        start_and little_traffic </tmp/config ;;
    hardened)
        echo 2 >/proc/sys/net/core/bpf_jit_harden
        echo 1 >/proc/sys/kernel/unprivileged_bpf_disabled
        echo "$plain" | start_and little_traffic
        facts >/out/$name/facts
        echo 0 >/proc/sys/net/core/bpf_jit_harden ;;
    nojit)
        echo 0 >/proc/sys/net/core/bpf_jit_enable
        echo "$plain" | start_and little_traffic
        facts >/out/$name/facts
        echo 1 >/proc/sys/net/core/bpf_jit_enable ;;
    caps)
        kept=-all,+bpf,+net_admin,+perfmon
        as="/tools/setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set $kept"
        as="$as --inh-caps $kept --ambient-caps $kept --no-new-privs"
        echo "$plain" | start_and little_traffic ;;
    nobtf)
        mount -t tmpfs none /sys/kernel/btf
        echo "$plain" | start_and little_traffic
        /bin/sextantd probe >/out/$name/probe 2>&1
        umount /sys/kernel/btf ;;
    nomodules)
        # Nothing can be observed: it must say so.
        echo "$clsact" | start_and little_traffic
        filters >/out/$name/filters-after 2>&1 ;;
    *) say "no case $name" ;;
    esac
}

# With the configuration on stdin: starts, makes this traffic, asks and stops.
start_and() {
    if start; then
        "$1"
        finish
    fi
}

# Modules of the list but these, or these alone.
load() {
    for module in $(cat /modules/order); do
        case " $late " in *" $module "*) kind=late ;; *) kind=early ;; esac
        [ $kind = "$1" ] || continue
        insmod "/modules/$module" || say "module $module not loaded"
    done
}

say "up"
load early
facts >/out/facts
network
case " $cases " in *" nomodules "*)
    grep -q . /modules/order && run_case nomodules
    cases=$(echo "$cases" | sed 's/nomodules//') ;;
esac
load late
say "probe"
began=$(now)
/bin/sextantd probe >/out/probe 2>&1
echo "$? $began $(now)" >/out/probe-ended
cat /out/probe
for name in $cases; do run_case "$name"; done
say "done"
dmesg >/out/dmesg
now >/out/uptime
stty -F /dev/ttyS1 raw 2>/dev/null
tar -C /out -cz -f - . >/dev/ttyS1
sync
poweroff -f

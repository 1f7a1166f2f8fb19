#!/usr/bin/env python3
"""Judges what the guest of boot-and-try.sh told: check.py FOLDER."""
import json
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
FILE_BYTES = 2 << 20
MAX_STOP_S = 5.0
results = []


def text(path):
    file = ROOT / path
    return file.read_text(errors="replace") if file.exists() else ""


def check(case, what, good, detail=""):
    results.append((case, what, bool(good), str(detail)))


def pairs(path):
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in text(path).splitlines() if " " in line}


FACTS, HOST = pairs("facts"), pairs("host")
RELEASE = FACTS.get("release", "")
VERSION = tuple(int(n) for n in re.findall(r"\d+", RELEASE)[:2])
BTF = FACTS.get("btf") == "yes"
LOCKED = "[confidentiality]" in FACTS.get("lockdown", "")
HAS_TCX, HAS_REASONS = VERSION >= (6, 6), VERSION >= (5, 17)


def log(case):
    return re.sub(r"\x1b\[[0-9;]*m", "", text(f"{case}/log"))


def flows(case):
    found = []
    for line in text(f"{case}/flows").splitlines():
        try:
            flow = json.loads(line).get("flow")
        except ValueError:
            check(case, "hubble's output", False, line[:200])
            continue
        if flow:
            found.append(flow)
    return found


def more(flow):
    return flow.get("extensions", {}).get("value", {})


def ports(flow):
    layer = next(iter(flow.get("l4", {}).values()), {})
    return layer.get("source_port"), layer.get("destination_port")


def flags(flow):
    return set(flow.get("l4", {}).get("TCP", {}).get("flags", {}))


def select(all_flows, protocol, port=None, family=None, ended=None, verdict="FORWARDED"):
    def wanted(flow):
        return (
            protocol in flow.get("l4", {})
            and (port is None or port in ports(flow))
            and (family is None or flow["IP"].get("ipVersion") == family)
            and (ended is None or ("end_reason" in more(flow)) == ended)
            and flow.get("verdict") == verdict
        )

    return [flow for flow in all_flows if wanted(flow)]


def told(case, all_flows):
    """What was seen of packets that the kernel dropped."""
    return {(ports(flow)[1], flow.get("drop_reason_desc"), more(flow).get("kernel_drop_reason")) for flow in all_flows if flow.get("verdict") == "DROPPED"}


def counts(flow):
    return tuple(int(more(flow).get(key, 0)) for key in ("packets", "bytes", "reverse_packets", "reverse_bytes"))


def started(case, hook):
    if not (ROOT / case).exists():
        return False
    began = text(f"{case}/started").split()
    check(case, "starts", began, text(f"{case}/refused").strip() + " " + log(case)[-600:])
    if not began:
        return False
    attached = re.findall(r'attached interface=(\S+) hook="(\w+)"', log(case))
    check(case, f"attached by {hook}", ("va", hook) in attached, attached)
    return True


def warnings(case, allowed=()):
    lines = [line for line in log(case).splitlines() if re.search(r"\b(WARN|ERROR)\b", line)]
    lines = [line for line in lines if not any(part in line for part in allowed)]
    check(case, "nothing to warn of", not lines, " | ".join(line[28:600] for line in lines))


def stopped(case, foreign=False):
    status, began, ended = (text(f"{case}/ended").split() + ["?", "0", "0"])[:3]
    took = float(ended) - float(began)
    check(case, "SIGTERM ends it with 0, soon", status == "0" and took < MAX_STOP_S, f"exit {status} after {took:.1f} s")
    filters = text(f"{case}/filters-after")
    check(case, "no filter is left", "sextant" not in filters, filters)
    check(case, "the qdisc is as it was", ("clsact" in filters) == foreign, filters or "none")
    check(case, "no link and no program is left", not text(f"{case}/links-after") + text(f"{case}/programs-after"),
          text(f"{case}/links-after") + text(f"{case}/programs-after"))


def ledger(case):
    try:
        status = json.loads(text(f"{case}/status.json"))
    except ValueError:
        check(case, "status", False, text(f"{case}/status.json")[:200])
        return {}
    packets, events = status["ledger"]["packets"], status["ledger"]["events"]
    number = lambda volume: int(volume.get("packets", 0))
    without = sum(number(cause["volume"]) for cause in packets["without_flow"])
    seen = number(packets["seen"])
    check(case, "packets balance", seen == number(packets["in_flows"]) + without and seen, f"{seen} seen")
    lost = [place for place in events["lost"] if int(place.get("events", 0)) and not place.get("intended")]
    check(case, "no event is lost", not lost, lost)
    return status


def counted(case, status):
    """The interface's own counters, while traffic was made, are the least that was seen."""
    before, after = pairs(f"{case}/before"), pairs(f"{case}/after")
    if not before or not status:
        return
    interface = next((one for one in status.get("attachments", []) if one["interface"] == "va"), {})
    for way, kernel in (("ingress", "rx"), ("egress", "tx")):
        least = int(after[f"{kernel}_packets"]) - int(before[f"{kernel}_packets"])
        seen = int(interface.get(way, {}).get("packets", 0))
        # Neighbour discovery comes before and after, too.
        check(case, f"{way} packets are the interface's", 0 <= seen - least <= 10, f"{seen} seen, {least} by the interface")


def basic(case, all_flows):
    for protocol, family, number in (("ICMPv4", "IPv4", 2), ("ICMPv6", "IPv6", 2)):
        ended = [counts(flow) for flow in select(all_flows, protocol, family=family, ended=True)]
        check(case, f"ping {family}: {number} asked, {number} answered", any(c[0] == c[2] == number for c in ended), ended)
    tcp = [flow for flow in select(all_flows, "TCP", 80, ended=True)]
    check(case, "TCP ended with totals", len(tcp) == 1 and more(tcp[0])["end_reason"] == "fin" and counts(tcp[0])[3] > FILE_BYTES,
          [counts(flow) for flow in tcp])


def drops_expected(case):
    return BTF and HAS_REASONS and not LOCKED and case != "nobtf"


def small(case, hook, drops=True, foreign=False, allowed=()):
    if not started(case, hook):
        return
    all_flows = flows(case)
    basic(case, all_flows)
    if drops and drops_expected(case):
        check(case, "a drop is told", any(port == 9002 for port, *_ in told(case, all_flows)), told(case, all_flows))
    if not drops_expected(case):
        allowed = (*allowed, "packets that the kernel drops are not observed")
    warnings(case, allowed)
    counted(case, ledger(case))
    stopped(case, foreign)


def policed(case):
    """What policies let in, and what not, by both families."""
    if not (ROOT / case / "started").exists():
        return
    ended = pairs(f"{case}/policed")
    said = text(f"{case}/applied")[-600:]
    for what in ("allowed4", "allowed6", "answered4", "answered6", "open4"):
        check(case, f"policies: {what}", ended.get(what) == "0", f"{ended} {said}")
    for what in ("denied4", "denied6"):
        check(case, f"policies: {what}", ended.get(what, "0") != "0", f"{ended} {said}")
    verdicts = text(f"{case}/verdicts")
    for line in ("INGRESS ALLOWED BY web", "INGRESS DENIED BY web", "Policy denied DROPPED"):
        check(case, f"policies: told, {line}", line in verdicts, verdicts[-900:])


def namespaces(hook):
    case = "namespaces"
    if not (ROOT / case).exists():
        return
    if LOCKED or not BTF:
        check(case, "it says why other namespaces cannot be observed", "namespace" in text(f"{case}/log") and text(f"{case}/refused"), log(case)[-600:])
        return
    small(case, hook)
    points = {point for flow in flows(case) for point in more(flow).get("observation_points", [])}
    check(case, "seen at both ends", {"va:egress", "other/vb:ingress", "other/vb:egress", "va:ingress"} <= points, points)


def stays(hook):
    """Policies without a daemon, and after the next one has taken over."""
    if not (ROOT / "kept").exists():
        return
    for case in ("kept", "kept-again"):
        if not started(case, hook):
            continue
        ended = pairs(f"{case}/policed")
        for what in ("allowed4", "allowed6"):
            check(case, f"policies: {what}", ended.get(what) == "0", ended)
        for what in ("denied4", "denied6"):
            check(case, f"policies: {what}", ended.get(what, "0") != "0", ended)
        for what in ("refused4", "refused6"):
            check(case, f"policies: {what} at once", ended.get(what) == "1", ended)
    check("kept-again", "it took over", "took over what the sextantd before kept in force" in log("kept-again"), log("kept-again"))
    check("kept-again", "without what was pinned nothing is denied", pairs("kept-again/policed").get("open") == "0", text("kept-again/policed"))


def vlans():
    """A VLAN interface and the tag below it are one flow, counted once, in its VLAN."""
    case = "vlans"
    if not (ROOT / case / "started").exists():
        return
    pings = {}
    for flow in select(flows(case), "ICMPv4", ended=True):
        pings.setdefault(flow["IP"]["destination"], []).append((more(flow).get("vlan"), counts(flow)[0], counts(flow)[2]))
    found = sorted(one for both in ("10.8.0.1", "10.8.0.2") for one in pings.get(both, []))
    check(case, "in the VLAN: one flow, 3 and 3", found == [([10], 3, 3)], f"{pings} {text('vlans/traffic')}")
    found = [one for both in ("10.9.0.1", "10.9.0.2") for one in pings.get(both, [])]
    check(case, "without: one flow, 2 and 2", found == [(None, 2, 2)], pings)
    ledger(case)


def without_modules():
    case = "nomodules"
    if not (ROOT / case).exists():
        return
    said = log(case)
    check(case, "it does not start, and names the module", text(f"{case}/refused") and "sch_ingress" in said, said[-600:])
    check(case, "nothing is left", not text(f"{case}/filters-after").strip(), text(f"{case}/filters-after"))


def default(hook):
    case = "default"
    if not started(case, hook):
        return
    found = flows(case)
    for protocol, family in (("ICMPv4", "IPv4"), ("ICMPv6", "IPv6")):
        ended = [counts(flow) for flow in select(found, protocol, family=family, ended=True)]
        size = 98 if family == "IPv4" else 118
        check(case, f"ping {family}: 3 asked, 3 answered, bytes", (3, 3 * size, 3, 3 * size) in ended, ended)
        # Two pauses of 0.2 s: the coarse clock counts ticks, whose length is the kernel's choice.
        lasted = [more(flow)["duration_ns"] / 1e9 for flow in select(found, protocol, family=family, ended=True) if counts(flow)[0] == 3]
        check(case, f"ping {family}: lasted 0.4 s", any(0.38 <= seconds < 2 for seconds in lasted), lasted)
    ended = [counts(flow) for flow in select(found, "ICMPv4", ended=True)]
    check(case, "ping of 4000 bytes: 3 fragments each way", (3, 4110, 3, 4110) in ended, ended)
    for family in ("IPv4", "IPv6"):
        tcp = select(found, "TCP", 80, family)
        news = [flags(flow) for flow in tcp if "end_reason" not in more(flow)]
        # One may be sent again: emulation is slow.
        fins = {flow["l4"]["TCP"]["source_port"] for flow in tcp if "end_reason" not in more(flow) and "FIN" in flags(flow)}
        check(case, f"TCP {family}: SYN, SYN-ACK, FIN both ways",
              {"SYN"} in news and {"SYN", "ACK"} in news and len(fins) == 2, news)
        ended = [flow for flow in tcp if "end_reason" in more(flow)]
        check(case, f"TCP {family}: one end, by FIN, with totals",
              len(ended) == 1 and more(ended[0])["end_reason"] == "fin" and counts(ended[0])[3] > FILE_BYTES and counts(ended[0])[2] > 1400,
              [counts(flow) for flow in ended])
    udp = [counts(flow)[:2] for flow in select(found, "UDP", 9001, ended=True)]
    check(case, "3 UDP flows of a packet each", udp == [(1, 44)] * 3, udp)
    refused = [more(flow)["end_reason"] for flow in select(found, "TCP", 81, ended=True)]
    check(case, "a refused connection ends by RST", refused == ["rst"], refused)
    if drops_expected(case):
        seen = told(case, found)
        for port, reason in ((9002, "NO_SOCKET"), (8080, "NETFILTER_DROP"), (8081, "NETFILTER_DROP")):
            check(case, f"drop told: port {port}, {reason}", any(p == port and kernels == reason for p, _, kernels in seen), seen)
        warnings(case)
    else:
        warnings(case, ("packets that the kernel drops are not observed",))
        check(case, "it says that drops are not observed", "not observed" in log(case))
    ledger(case)
    stopped(case)


def main():
    hook = "tcx" if HAS_TCX else "clsact"
    probe = text("probe")
    check("probe", "exit 0", text("probe-ended").startswith("0 "), text("probe-ended"))
    has = dict(re.findall(r"^(\w+)\s+(yes|no)\b", probe, re.M))
    if VERSION < (6, 6):
        check("probe", "clsact works", has.get("clsact") == "yes", probe)
    check("probe", "the programs load", has.get("programs") == "yes", probe)
    check("probe", "tcx as it is", has.get("tcx") == ("yes" if HAS_TCX else "no"), probe)
    if (ROOT / "default").exists():
        promised = has.get("drops") == "yes"
        kept = "packets that the kernel drops are not observed" not in log("default") and bool(text("default/started"))
        check("probe", "what it says of drops is so", promised == kept, f"promised {promised}, at the start {kept}")
    without_modules()
    default(hook)
    small("clsact", "clsact", drops=False)
    policed("default")
    policed("clsact")
    small("foreign", "clsact", drops=False, foreign=True)
    if (ROOT / "killed").exists():
        check("killed", "a filter outlives SIGKILL", "sextant" in text("killed-first/filters-after"), text("killed-first/filters-after"))
        check("killed", "it is removed at the next start", log("killed").count("removed a filter left") == 2, log("killed"))
    small("killed", "clsact", drops=False)
    stays(hook)
    vlans()
    namespaces(hook)
    for case in ("hardened", "nojit", "caps", "nobtf"):
        small(case, hook)
    alarms = [line for line in text("dmesg").splitlines() if re.search(r"BUG:|WARNING:|Oops|general protection|blocked for more|stall", line)]
    check("kernel", "no alarm in its log", not alarms, alarms[:3])

    print(f"{RELEASE}: btf {FACTS.get('btf')}, lockdown {FACTS.get('lockdown')}, jit {FACTS.get('jit_enable')}, arguments {HOST.get('arguments') or 'none'}")
    for case, what, good, detail in results:
        print(f"{'ok  ' if good else 'FAIL'} {case:<11} {what}" + ("" if good else f"\n         {detail.strip()[:900]}"))
    starts = {file.parent.name: file.read_text().split() for file in sorted(ROOT.glob("*/started"))}
    took = ", ".join(f"{name} {float(b) - float(a):.1f}" for name, (a, b) in starts.items())
    print(f"seconds: boot {FACTS.get('boot_s')}, guest {text('uptime').strip()}, wall {int(HOST.get('wall_ms', 0)) / 1000:.0f} ({HOST.get('accelerator')}); to serving: {took}")
    print("verified instructions: " + ", ".join(sorted(set(text("default/verified").splitlines()))))
    bad = sum(not good for _, _, good, _ in results)
    print(f"{len(results) - bad} as expected, {bad} not")
    return 1 if bad else 0


sys.exit(main())

#!/usr/bin/env bash
# Fetches kernels of Debian, boots each in qemu and tries sextantd on it.
#
#   kernels.sh            all cases on each kernel, and one that is locked down
#   kernels.sh short      the two ways to attach, and drops, on each kernel
#   kernels.sh changed    `short`, if what concerns the kernel changed
#
# KERNELS: the newest package of each version, or of all for `newest`. SEXTANTD,
# SEXTANT and HUBBLE name the programs under test. What was fetched is kept in
# target/kernels, and so is what passed. Nothing is installed.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../..")
cache=$root/target/kernels
kernels=${KERNELS:-6.1 6.12 newest}
# What a kernel may take amiss.
paths="ebpf server/src/datapath server/src/datapath.rs server/build.rs integration-tests/kernels"
# So far back a change counts as one: a clone has no other hint of what was tried.
commits=20
# What `try` says of a kernel that never came up.
untried=3

content() { (cd "$root" && git ls-files -s $paths && git diff HEAD -- $paths) | sha256sum | cut -c1-16; }

# A clone that has not tried these very files, and in whose last commits some of
# them changed, or that cannot tell.
is_to_try() {
    [ -e "$cache/passed-$(content)" ] && return 1
    local changed
    git -C "$root" rev-parse -q --verify "HEAD~$commits" >/dev/null || return 0
    changed=$(git -C "$root" diff --name-only "HEAD~$commits" -- $paths) || return 0
    [ -n "$changed" ]
}

. "$here/../apt.sh"

# The newest image of a version, by name; `newest` of any.
newest() {
    local command=$1 version=$2
    [ "$version" = newest ] && version='[0-9]+' || version=${version//./\\.}
    $command search --names-only "^linux-image-$version[.+-][^ ]*-cloud-amd64$" | cut -d' ' -f1 |
        grep -Ev -- '-(rt|dbg|unsigned)' | grep -E '[0-9]\.[0-9]+[.+-][0-9]' | sort -V | tail -1
}

# Downloads an image, and what it is apart from, and tells the files.
download() {
    local get=$1 image=$2 folder=$cache/packages/$2 parts
    if [ ! -e "$folder/complete" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        # Since 7.0 kernel and modules are packages of their own.
        parts=$(${get/apt-get/apt-cache} depends --no-recommends --no-suggests "$image" |
            sed -n 's/^ *Depends: \(linux-\(binary\|modules\|image\)-[^ ]*\).*/\1/p')
        (cd "$folder" && $get -o APT::Sandbox::User=root download -qq "$image" $parts >&2)
        touch "$folder/complete"
    fi
    find "$folder" -name '*.deb'
}

# A kernel under emulation panics now and then while it boots: try it again. One
# that never comes up says nothing of Sextant, and is told.
try() {
    local name=$1 out=$cache/results/$1 attempt status
    shift
    mkdir -p "$out"
    for attempt in 1 2 3; do
        status=0
        "$here/boot-and-try.sh" -o "$out" "$@" >"$out/report" 2>&1 || status=$?
        [ $status = 2 ] || grep -qi 'kernel panic' "$out/console" || break
        echo "$name: the guest did not run (attempt $attempt)"
    done
    if [ $status = 2 ]; then
        tail -20 "$out/report"
        echo "NOT TRIED: $name did not run"
        return $untried
    fi
    grep -E '^(FAIL|[0-9]+ as expected|seconds:)' -A1 "$out/report" | grep -v '^--' || tail -20 "$out/report"
    return $status
}

main() {
    local how=${1:-all} cases=nomodules,default,clsact,namespaces failed=0 skipped=0 status version image get files
    local -A tries=()
    if [ "$how" = changed ]; then
        if ! is_to_try; then
            echo "kernels: nothing that concerns them changed; \`make kernels\` tries them"
            return
        fi
        how=short
    fi
    [ "$how" = all ] && cases=
    mkdir -p "$cache/results"
    for version in $kernels; do
        get=apt-get
        if [ "$version" = newest ] && further_release unstable; then
            get="apt_with apt-get"
        fi
        image=$(newest "${get/apt-get/apt-cache}" "$version")
        [ -n "$image" ] || { echo "kernels: apt offers no kernel $version" >&2; failed=1; continue; }
        mapfile -t files < <(download "$get" "$image")
        beside "$image" ${cases:+-c "$cases"} "${files[@]}"
        if [ "$how" = all ] && [ "$version" = newest ]; then
            beside "$image-locked" -c default,namespaces -a lockdown=confidentiality "${files[@]}"
        fi
    done
    for image in "${!tries[@]}"; do
        status=0
        wait "${tries[$image]}" || status=$?
        echo "== $image"
        cat "$cache/results/$image.said"
        case $status in 0) ;; "$untried") skipped=1 ;; *) failed=1 ;; esac
    done
    [ $failed$skipped = 00 ] && touch "$cache/passed-$(content)"
    return $failed
}

# Tries a kernel while others are: a guest takes little more than a core.
beside() {
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do sleep 1; done
    { try "$@" || exit $?; } >"$cache/results/$1.said" 2>&1 &
    tries[$1]=$!
}

main "$@"

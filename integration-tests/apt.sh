# Sourced: apt with another release of Debian than this machine's, from its own mirror.
# `cache` names the folder for its lists and packages.

apt_with() {
    local command=$1
    shift
    "$command" -o Dir::Etc::SourceList="$cache/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$cache/apt/lists" -o Dir::Cache="$cache/apt/cache" \
        -o APT::Sandbox::User=root "$@"
}

# Fails where the mirror has no such release.
further_release() {
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
    local mirror key
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort | uniq -c | sort -rn |
        sed -n '1s/^ *[0-9]* //p')
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$key] $mirror $1 main" >"$cache/apt/sources.list"
    find "$cache/apt/updated" -mtime -1 2>/dev/null | grep -q . && return
    apt_with apt-get update -qq && touch "$cache/apt/updated"
}

# shellcheck shell=bash disable=SC2034,SC2154 # variables that are set in one of the two files and used in the other
# For recipes of the same engine in its next major version, which upgrades are tested with: packages and base of the
# Debian release after bookworm. An index of its own; this machine's is left as it is. Sourced by recipes.

next_suite=trixie

# From here on apt in this recipe knows that release only.
with_next_release() {
    local dir=$cache/apt-$next_suite mirror
    [ -z "${next_release:-}" ] || return 0
    next_release=1
    mirror=$(apt_mirror "$(apt_suite)")
    mkdir -p "$dir/lists/partial" "$dir/sources"
    : >"$dir/status" # what is installed on this machine is of another release
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $next_suite main" \
        >"$dir/sources/pierhead.list"
    cat >"$dir/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$dir/sources";
Dir::State::Lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
    export APT_CONFIG=$dir/apt.conf
    apt_suite() { echo "$next_suite"; }
    apt_mirror() { echo "$mirror"; }
}

with_next_release

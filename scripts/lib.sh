# shellcheck shell=bash
# What the scripts beside this file share. Sourced, never run. Goes in: nothing. Comes out: functions.

# One short line per step, on stderr, so that stdout stays free for results.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Ends the script: a command that failed is 1, a command that was asked wrongly is 2.
die() { say "$*"; exit 1; }
usage_error() { say "$* (see ${0##*/} -h)"; exit 2; }

need_root() { [ "$(id -u)" -eq 0 ] || die "must be root to $*"; }

# Installs those Debian packages that are missing. The index is fetched only if the one at hand does not do, and a
# package manager that is busy elsewhere is waited for.
apt_install() {
    local missing=() package
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    need_root "install ${missing[*]}"
    command -v apt-get >/dev/null || die "needs ${missing[*]}, and there is no apt-get here to install it"
    say "installing ${missing[*]}"
    apt_get install --no-install-recommends "${missing[@]}" 2>/dev/null && return 0
    apt_get update || die "apt-get update failed"
    apt_get install --no-install-recommends "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >/dev/null </dev/null
}

# The tag of an image that the Dockerfile builds upon: no other file names it.
dockerfile_tag() { sed -n "s/^FROM $1:\([^ ]*\).*/\1/p" "${BASH_SOURCE[0]%/*}/../Dockerfile"; }

# A client that can talk to the engine. There can be several on a PATH: an old one next to a new engine, or the reverse.
docker_client() {
    local client
    while read -r client; do
        if [ -n "$(engine_version "$client")" ]; then echo "$client"; return 0; fi
    done < <(type -ap docker)
    return 1
}

# The version of the engine that a client reaches, or nothing.
engine_version() { timeout 10 "$1" version --format '{{.Server.Version}}' 2>/dev/null </dev/null || true; }

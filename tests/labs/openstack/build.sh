#!/usr/bin/env bash
# build.sh ROOT PYTHON: create the chroot in the directory ROOT. PYTHON has pragmaspec and pip. Called by lab, from the repository.
# The text of this file and of packages.txt is the recipe: lab builds the chroot again when it changes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$1
python=$2
ec2_api=ec2-api==17.0.0 # the last release; the project has ended

scratch=$(dirname "$root")/scratch
trap 'rm -rf "$scratch"' EXIT
rm -rf "$scratch" # of a build that was killed
mkdir "$scratch"

# Prints the lines that a function of pragmaspec.images.debian.distribution returns.
apt() { "$python" -c "from pragmaspec.images.debian import distribution; print(*distribution.$1, sep='\n')"; }

# Mirrors, proxies and certificates are those of this machine's apt; the mirror is mmdebstrap's default if apt has none of the
# release. The settings may contain a password.
sources=$(apt 'source_lines("bookworm", None, None)')
from=()
[ -z "$sources" ] || from=(-)
(umask 077 && apt 'apt_options()' >"$scratch/apt.conf")

# Maintainer scripts must not start daemons. Byte code is compiled at first use: half of the build would be the compilation of
# modules that nothing imports.
no_daemons='mkdir -p "$1/usr/sbin" && printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"'
rm -rf --one-file-system "$root"
mmdebstrap --quiet --mode=root --variant=apt \
    --include="$(sed -e 's/#.*//' -e '/^ *$/d' "$here/packages.txt" | paste -sd,)" \
    --aptopt='APT::Sandbox::User "root"' --aptopt="$scratch/apt.conf" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/bin/py3compile' \
    --setup-hook="$no_daemons" --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
    bookworm "$root" "${from[@]}" <<<"$sources"

# libvirtd requires its user to exist, although the guests of the lab run as root.
chroot "$root" sh -c 'getent passwd libvirt-qemu >/dev/null || useradd --system --user-group --shell /usr/sbin/nologin libvirt-qemu'

"$python" -m pip download --quiet --dest "$scratch" --no-deps --only-binary=:all: "$ec2_api"
"$python" -m zipfile -e "$scratch"/ec2_api-*.whl "$root/lab-ec2/"
# keystone with the fix of CVE-2025-65073 requires a service user's token for /v3/ec2tokens.
authentication=$root/lab-ec2/ec2api/api/__init__.py
sed -i "s|^        params = {'data': creds_json, 'headers': headers}|        headers['X-Auth-Token'] = clients.get_os_admin_session().get_token()\n&|" \
    "$authentication"
grep -q X-Auth-Token "$authentication"

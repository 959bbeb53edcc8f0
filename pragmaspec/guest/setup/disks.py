"""Further disks in the guest: a script that creates, grows and mounts their file systems, and the table that it reads.

The script is idempotent, and runs early in the first boot (cloud-init's ``bootcmd``, before users are created), again after
packages were installed, at every later boot, and after every live update. It finds disks by their serial numbers, which are
their names, or at EC2 and OpenStack those of tags. It formats a disk only if its first two mebibytes are zero and no signature of
a file system, partition table or other user is found on it. Its optional argument is a directory to use instead of ``/``, for
tests.
"""

from collections.abc import Iterable

from pragmaspec.guest.guest_file import ALL_READ, GuestFile
from pragmaspec.guest.setup.scripts import NodeSetup, SetupScript, run_with_failure_noted, script_file, unit_file
from pragmaspec.resources import Node

DISKS = SetupScript(
    name="pragmaspec-disks",
    description="Further disks of this node",
    ordering=(
        "DefaultDependencies=no",
        "Conflicts=shutdown.target",
        "After=local-fs.target",
        "Before=sysinit.target shutdown.target",
    ),
    target="sysinit.target",
)
DISKS_TABLE = "/etc/pragmaspec/disks"
SERIAL_TAG = "pragmaspec-serial-"
"""Prefix of the key of the tag at EC2, followed by the name of a disk, whose value is its serial number."""
_WANTED, _LINKED = DISKS.link

DISKS_SCRIPT_TEXT = f"""\
#!/bin/sh
# Written by pragmaspec: creates, grows and mounts the file systems of the disks in {DISKS_TABLE}.
set -u
root=${{1-}}
table=$root{DISKS_TABLE}
state=$root/var/lib/pragmaspec
status=0

# An update may run this beside the boot.
mkdir -p "$state" 2>/dev/null
if [ -w "$state" ] && command -v flock >/dev/null; then
  exec 9>"$state/disks.lock"
  flock 9
fi

fail() {{
  echo "pragmaspec-disks: $1" >&2
  status=1
}}

# A virtio disk shows the first 20 characters of its serial number, and an NVMe disk pads it.
with_serial() {{
  short=$(printf %.20s "$1")
  for directory in "$root"/sys/block/*; do
    if [ "$(cat "$directory/serial" 2>/dev/null)" = "$short" ] ||
      [ "$(cat "$directory/device/serial" 2>/dev/null | tr -d ' ')" = "$1" ]; then
      echo "$root/dev/${{directory##*/}}"
      return
    fi
  done
  for link in "$root/dev/disk/by-id/virtio-$short" "$root/dev/disk/by-id/"scsi-*"_$1"; do
    if [ -e "$link" ]; then
      readlink -f "$link"
      return
    fi
  done
}}

device_of() {{
  device=$(with_serial "$1")
  if [ -z "$device" ]; then
    serial=$(chosen_serial "$1")
    if [ -n "$serial" ]; then device=$(with_serial "$serial"); fi
  fi
  if [ -n "$device" ]; then echo "$device"; fi
}}

is_at_ec2() {{
  grep -qs 'Amazon EC2' "$root/sys/class/dmi/id/sys_vendor"
}}

# Clouds choose the serial numbers. Their metadata have that of a disk; it is kept for early boots, when there is no network.
chosen_serial() {{
  first=
  if is_at_ec2; then
    found=$(metadata "tags/instance/{SERIAL_TAG}$1")
  else
    first=$(config_drive) || return 0
    now=$(openstack_metadata)
    found=$(printf %s "$now" | tagged "$1")
    if [ -n "$now" ]; then first=; fi
  fi
  if [ -n "$found" ]; then
    mkdir -p "$state" && echo "$found" >"$state/serial-$1"
  elif [ -e "$state/serial-$1" ]; then
    found=$(cat "$state/serial-$1")
  else
    found=$(printf %s "$first" | tagged "$1")
  fi
  echo "$found"
}}

# The serial number of the device with the tag $1 in OpenStack's metadata.
tagged() {{
  tr '{{}}' '\\n\\n' | grep "\\"tags\\": *\\[[^]]*\\"$1\\"" | sed -n 's/.*"serial": *"\\([^"]*\\)".*/\\1/p' | head -n 1
}}

# The metadata of OpenStack as of the creation of the machine; fails if there is no config drive.
config_drive() {{
  place=$state/drive-$$ # Of this run: guests without flock may have two.
  for drive in "$root/dev/disk/by-label/config-2" "$root"/dev/sr[0-9]; do
    [ -e "$drive" ] && mkdir -p "$place" && mount -o ro "$drive" "$place" 2>/dev/null || continue
    text=$(cat "$place/openstack/latest/meta_data.json" 2>/dev/null)
    umount "$place" || umount -l "$place"
    rmdir "$place" 2>/dev/null
    if [ -n "$text" ]; then
      printf %s "$text"
      return
    fi
  done
  return 1
}}

# The present metadata of OpenStack; empty: no answer.
openstack_metadata() {{
  at=http://169.254.169.254/openstack/latest/meta_data.json
  if command -v curl >/dev/null; then
    curl -s -f -m 2 $at 2>/dev/null
  else
    python3 -c "import urllib.request as r; print(r.urlopen('$at', timeout=2).read().decode())" 2>/dev/null
  fi
}}

# EC2 attaches disks only when the machine runs.
awaited_device_of() {{
  for _ in $(seq 30); do
    device=$(device_of "$1")
    if [ -n "$device" ] || ! is_at_ec2; then break; fi
    sleep 1
  done
  echo "$device"
}}

# A value of EC2's metadata service; empty: it has none, or does not answer.
metadata() {{
  at=http://169.254.169.254/latest
  if command -v curl >/dev/null; then
    token=$(curl -s -f -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token 2>/dev/null) || return 0
    curl -s -f -m 2 -H "X-aws-ec2-metadata-token: $token" "$at/meta-data/$1" 2>/dev/null
  else
    python3 - "$at" "$1" 2>/dev/null <<'END'
import sys, urllib.request as r
at, name = sys.argv[1:]
asked = r.Request(at + "/api/token", method="PUT", headers={{"X-aws-ec2-metadata-token-ttl-seconds": "60"}})
token = {{"X-aws-ec2-metadata-token": r.urlopen(asked, timeout=2).read().decode()}}
print(r.urlopen(r.Request(at + "/meta-data/" + name, headers=token), timeout=2).read().decode())
END
  fi
}}

# The type of the file system; empty: none is known.
type_of() {{
  blkid -p -o value -s TYPE "$1" 2>/dev/null || blkid "$1" 2>/dev/null | sed -n 's/.* TYPE="\\([^"]*\\)".*/\\1/p'
}}

is_empty() {{
  [ "$(dd if="$1" bs=1048576 count=2 2>/dev/null | tr -d '\\000' | wc -c)" -eq 0 ] && [ -z "$(blkid -p "$1" 2>/dev/null)" ] &&
    [ -z "$(type_of "$1")" ]
}}

mount_point_of() {{
  awk -v device="$1" '$1 == device {{ print $2; exit }}' "$root/proc/mounts"
}}

# A marker tells an interrupted formatting, whose disk was empty, from unknown contents.
format() {{
  name=$1 device=$2 type=$3
  if ! command -v "mkfs.$type" >/dev/null; then
    fail "disk $name cannot be formatted: mkfs.$type is not installed"
    return 1
  fi
  mkdir -p "$state" && : >"$state/formatting-$name" || return 1
  case $type in
    ext4) mkfs.ext4 -q -F "$device" ;;
    xfs) mkfs.xfs -q -f "$device" ;;
  esac
  if [ $? -ne 0 ]; then
    fail "disk $name cannot be formatted"
    return 1
  fi
  sync
  rm -f "$state/formatting-$name"
}}

check() {{
  case $3 in
    ext2 | ext3 | ext4)
      command -v e2fsck >/dev/null || return 0
      e2fsck -p "$2" >/dev/null 2>&1
      if [ $? -ge 4 ]; then
        fail "the file system of disk $1 is damaged: run fsck $2"
        return 1
      fi
      ;;
  esac
}}

grow() {{
  name=$1 device=$2 type=$3 at=$4
  case $type in
    ext2 | ext3 | ext4)
      command -v resize2fs >/dev/null || return 0
      if [ -z "$at" ]; then e2fsck -f -p "$device" >/dev/null 2>&1; fi
      resize2fs "$device" >/dev/null 2>&1 || fail "the file system of disk $name cannot be grown"
      ;;
    xfs)
      if [ -z "$at" ] || ! command -v xfs_growfs >/dev/null; then return 0; fi
      xfs_growfs "$at" >/dev/null 2>&1 || fail "the file system of disk $name cannot be grown"
      ;;
  esac
}}

set_up() {{
  name=$1 type=$2 mount=$3 fresh=
  device=$(awaited_device_of "$name")
  if [ -z "$device" ]; then
    fail "there is no disk with the serial number $name"
    return
  fi
  mkdir -p "$root/dev/disk/by-id" && ln -sfn "$device" "$root/dev/disk/by-id/pragmaspec-$name"
  at=$(mount_point_of "$device")
  found=$(type_of "$device")
  if [ -z "$at" ] && [ "$type" != none ] && [ -z "$found" ]; then
    if [ ! -e "$state/formatting-$name" ] && ! is_empty "$device"; then
      fail "disk $name ($device) has unknown contents, so it is not formatted"
      return
    fi
    format "$name" "$device" "$type" || return
    found=$type fresh=yes
  fi
  if [ -n "$at" ] && [ "$at" != "$mount" ]; then
    umount "$at" || {{ fail "disk $name cannot be unmounted from $at"; return; }}
    at=
  fi
  if [ "$mount" != - ] && [ -z "$at" ]; then
    check "$name" "$device" "$found" || return
    mkdir -p "$mount"
    owner=$(stat -c %u:%g "$mount") mode=$(stat -c %a "$mount")
    mount "$device" "$mount" || {{ fail "disk $name cannot be mounted at $mount"; return; }}
    if [ -n "$fresh" ]; then chown "$owner" "$mount" && chmod "$mode" "$mount"; fi
    if command -v restorecon >/dev/null; then restorecon "$mount" || true; fi
    at=$mount
  fi
  grow "$name" "$device" "$found" "$at"
}}

# Unmounts the disks that are no longer in the table.
release() {{
  while read -r name _ mount; do
    device=$(device_of "$name")
    if [ -n "$device" ] && ! grep -q "^$name " "$table" && [ "$(mount_point_of "$device")" = "$mount" ]; then
      umount "$mount" || fail "disk $name cannot be unmounted from $mount"
    fi
  done
}}

if [ ! -r "$table" ]; then exit 0; fi
if [ -r "$state/disks" ]; then release <"$state/disks"; fi
while read -r name type mount; do set_up "$name" "$type" "$mount"; done <"$table"
mkdir -p "$state" && cp "$table" "$state/disks"
if [ -z "$root" ] && [ -d /run/systemd/system ] && [ -e {DISKS.unit} ] && [ ! -e {_WANTED} ]; then
  mkdir -p {_WANTED.rpartition("/")[0]}
  ln -s {_LINKED} {_WANTED}
fi
exit $status
"""


def disks_setup(node: Node) -> NodeSetup | None:
    """Return the setup of the further disks of ``node``, or None if it has none."""
    if not node.disks:
        return None
    table, unit, script = disks_table_file(node), unit_file(DISKS), script_file(DISKS, DISKS_SCRIPT_TEXT)
    return NodeSetup(
        script=DISKS,
        files=(table, script, unit),
        boot_command=_boot_command((table, unit, script)),
        run_command=run_with_failure_noted(DISKS),
    )


def disks_table_file(node: Node) -> GuestFile:
    """Return the table of the disks of ``node``: serial number, file system, mount point or ``-``, outer mount points first."""
    disks = sorted(node.disks, key=lambda disk: (disk.mount, disk.name))
    lines = (f"{disk.name} {disk.format} {disk.mount or '-'}\n" for disk in disks)
    return GuestFile(path=DISKS_TABLE, mode=ALL_READ, content="".join(lines))


def _boot_command(files: Iterable[GuestFile]) -> str:
    """Return a command for ``sh -c`` that installs ``files``, unless a live update has, and runs the script.

    It fails for a file system whose programs are not installed yet: the script runs again after packages are.
    """
    write = "".join(
        f"mkdir -p {path.rpartition('/')[0]}\n[ -e {path} ] || cat > {path} <<'PRAGMASPEC'\n{text}PRAGMASPEC\n"
        for path, text in ((file.path, file.content) for file in files)
    )
    return f"{write}chmod 755 {DISKS.path}\n{DISKS.path} || true\n"

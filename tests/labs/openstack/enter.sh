#!/usr/bin/env bash
# First process of the lab's namespaces, outside the chroot: private mounts, which end with the namespace; then the chroot's init.
set -euo pipefail

mount --bind "$ROOT" "$ROOT"     # "ip netns exec" requires / to be a mount point
mount -t proc proc "$ROOT/proc"
mount -t sysfs sysfs "$ROOT/sys" # /sys/class/net of this network namespace; no cgroups below it
mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
mkdir -p "$ROOT/run/lock" "$ROOT/run/netns" "$ROOT/run/libvirt"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"

# Devices without /dev/kvm: guests are emulated on every machine, so that tests do not depend on it.
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
while read -r name major minor; do mknod -m 666 "$ROOT/dev/$name" c "$major" "$minor"; done <<'DEVICES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
mkdir -p "$ROOT/dev/pts" "$ROOT/dev/shm" "$ROOT/dev/net"
mknod -m 666 "$ROOT/dev/net/tun" c 10 200
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$ROOT/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/dev/shm"
ln -s pts/ptmx "$ROOT/dev/ptmx"
ln -s /proc/self/fd "$ROOT/dev/fd"
for descriptor in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${descriptor%:*}" "$ROOT/dev/${descriptor#*:}"; done

hostname lab1
printf '127.0.0.1 localhost lab1\n' >"$ROOT/etc/hosts"
: >"$ROOT/etc/resolv.conf"

# lab creates the interfaces from outside as soon as it knows this process.
uplinks() { [ -e /proc/sys/net/ipv4/conf/up-ex ] && [ -e /proc/sys/net/ipv4/conf/up-campus ]; }
for _ in $(seq 200); do
    uplinks && break
    sleep 0.05
done
uplinks || {
    echo "the interfaces of the lab were not created"
    exit 1
}
cd "$ROOT"
exec chroot . /bin/bash /lab/inside/init.sh

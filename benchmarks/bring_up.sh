#!/usr/bin/env bash
# Start a cluster as a parallel shell script: the reference for pragmaspec.
#
#   bring_up.sh up DIRECTORY COUNT [ADDRESS]   create a private network, and an overlay, a seed and a running domain for each node;
#                                              with ADDRESS, reserve that public address for the frontend
#   bring_up.sh down DIRECTORY COUNT [ADDRESS]   remove everything
#
# DIRECTORY contains disk.qcow2, vmlinuz and initrd, and is readable for the hypervisor. Node 0 is the frontend, with a second interface
# on libvirt's network "default". The domains have the same devices as those of pragmaspec.
set -euo pipefail
verb=$1 dir=$2 count=$3 address=${4:-}
virsh=(virsh --quiet --connect qemu:///system)

node_up() {
    local name=pragmaspec-bench-shell-$1 public=
    qemu-img create -q -f qcow2 -F qcow2 -b "$dir/disk.qcow2" "$dir/$name.qcow2"
    mkdir "$dir/$name"
    printf '#cloud-config\nhostname: %s\n' "$name" >"$dir/$name/user-data"
    printf 'instance-id: %s\nlocal-hostname: %s\n' "$name" "$name" >"$dir/$name/meta-data"
    printf 'version: 2\nethernets: {lan: {match: {driver: virtio_net}, addresses: [10.99.0.%d/16]}}\n' $(($1 + 10)) \
        >"$dir/$name/network-config"
    genisoimage -quiet -output "$dir/$name-seed.iso" -volid cidata -joliet -rock \
        "$dir/$name/user-data" "$dir/$name/meta-data" "$dir/$name/network-config"
    if [ "$1" = 0 ]; then
        public="<interface type='network'><source network='default'/><model type='virtio'/><rom enabled='no'/></interface>"
    fi
    cat >"$dir/$name.xml" <<XML
<domain type='qemu'>
  <name>$name</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>$dir/vmlinuz</kernel><initrd>$dir/initrd</initrd><cmdline>console=ttyS0 quiet acpi=noirq</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Nehalem</model></cpu>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/><source file='$dir/$name.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='$dir/$name-seed.iso'/><target dev='vdb' bus='virtio'/><readonly/>
    </disk>
    <controller type='usb' model='none'/>
    $public
    <interface type='network'><source network='pragmaspec-bench-shell'/><model type='virtio'/><rom enabled='no'/></interface>
    <serial type='pty'><log file='$dir/$name.log' append='off'/><target port='0'/></serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
  </devices>
</domain>
XML
    "${virsh[@]}" create "$dir/$name.xml"
}

reservation() {
    [ -z "$address" ] ||
        "${virsh[@]}" net-update default "$1" ip-dhcp-host "<host name='pragmaspec-bench-shell-0' ip='$address'/>" --live --config >/dev/null
}

up() {
    echo "<network><name>pragmaspec-bench-shell</name></network>" >"$dir/pragmaspec-bench-shell.xml"
    "${virsh[@]}" net-create "$dir/pragmaspec-bench-shell.xml"
    local pids=() node
    reservation add &
    pids+=($!)
    for ((node = 0; node < count; node++)); do
        node_up "$node" &
        pids+=($!)
    done
    for node in "${pids[@]}"; do wait "$node"; done
}

down() {
    for ((node = 0; node < count; node++)); do "${virsh[@]}" destroy "pragmaspec-bench-shell-$node" 2>/dev/null || true; done
    "${virsh[@]}" net-destroy pragmaspec-bench-shell 2>/dev/null || true
    reservation delete 2>/dev/null || true
    rm -rf "$dir"/pragmaspec-bench-shell*
}

"$verb"

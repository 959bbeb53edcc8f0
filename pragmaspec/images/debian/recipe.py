"""The files of a built Debian image in addition to its packages, chosen for a quick start. Values only.

On an emulated processor, every program start is slow. So units without a purpose in a virtual machine are masked, periodic jobs
are disabled, only relevant devices are probed, and cloud-init imports its code once instead of four times. ``systemctl
unmask`` and ``systemctl enable`` reverse that.
"""

from importlib import resources

from pragmaspec.frozen import Frozen

VERSION = 2
"""Part of every image's identity: increment it with every change that affects built images."""
EPOCH = 1_767_225_600
"""The date of all files in the image, 2026-01-01; it is a property of the recipe, not of the build."""
VIRTUAL_SIZE_BYTES = 4 * 2**30
CMDLINE = "root=/dev/vda rw console=ttyS0 quiet"
DISK_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng")
START_PACKAGE = "busybox-static"
"""Its ``/bin/busybox`` is the only program of the initramfs."""

KERNEL_PACKAGE = "linux-image-cloud-amd64"
PACKAGES = (
    KERNEL_PACKAGE, "systemd-sysv", "udev", "dbus", "cloud-init", "cloud-guest-utils", "e2fsprogs", "openssh-server",
    "openssh-client", "iproute2", "iputils-ping", "nftables", "ca-certificates", "python3-minimal", START_PACKAGE,
)  # fmt: skip

MASKED = (
    "modprobe@.service", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "systemd-binfmt.service", "systemd-firstboot.service", "systemd-pstore.service",
    "systemd-repart.service", "systemd-sysusers.service", "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service",
    "getty@tty1.service", "getty-static.service",
)  # fmt: skip
MASKED_GENERATORS = (
    "cloud-init-generator", "systemd-cryptsetup-generator", "systemd-getty-generator", "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator", "systemd-integritysetup-generator", "systemd-veritysetup-generator",
)  # fmt: skip
ENABLED = {
    "cloud-init.target": "multi-user.target",
    "serial-getty@ttyS0.service": "getty.target",
    "systemd-networkd.service": "multi-user.target",
}
DISABLED = (
    "timers.target.wants/apt-daily-upgrade.timer", "timers.target.wants/apt-daily.timer",
    "timers.target.wants/dpkg-db-backup.timer", "timers.target.wants/e2scrub_all.timer", "timers.target.wants/fstrim.timer",
    "multi-user.target.wants/e2scrub_reap.service",
    "cloud-init.target.wants/cloud-init-hotplugd.socket", "sysinit.target.wants/systemd-pstore.service",
    "getty.target.wants/getty@tty1.service", "multi-user.target.wants/remote-fs.target",
)  # fmt: skip

REMOVED_PATTERNS = (
    "boot/initrd.img-*", "initrd.img", "initrd.img.old", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/hostname", "etc/resolv.conf", "etc/machine-id", "var/lib/dbus/machine-id", "etc/ssh/ssh_host_*", "var/log/*",
    "var/lib/systemd/random-seed", "var/lib/cloud/*", "var/cache/apt/*", "var/cache/debconf/*-old", "var/lib/dpkg/*-old", "tmp/*",
    "var/cache/ldconfig/aux-cache", "var/lib/apt/lists/*", "run/*", "etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-",
    "etc/gshadow-", "etc/subuid-", "etc/subgid-",
)  # fmt: skip
"""Shell patterns of files to remove: those that differ between builds, or must differ between nodes."""

QUIET_DEVICES = (
    "acpi", "bdi", "clocksource", "cpu", "event_source", "machinecheck", "mem", "memory", "misc", "platform", "pnp", "tty", "vc",
    "vtconsole", "workqueue",
)  # fmt: skip
"""Subsystems whose devices need no action at boot."""


class RecipeFile(Frozen, frozen=True):
    """A file of the image; with ``target``, a symbolic link."""

    path: str
    content: str = ""
    mode: int = 0o644
    target: str = ""


def recipe_files(*, quick: bool = True) -> tuple[RecipeFile, ...]:
    """Return all files that are added after the packages.

    ``quick``: cloud-init's stages run in one Python process, and name servers are written to ``/etc/resolv.conf``; otherwise
    cloud-init is started as packaged, and systemd-resolved manages name servers.
    """
    units = "etc/systemd/system"
    return (
        *(RecipeFile(path=f"{units}/{unit}", target="/dev/null") for unit in MASKED),
        *(RecipeFile(path=f"{units}-generators/{name}", target="/dev/null") for name in MASKED_GENERATORS),
        *(
            RecipeFile(path=f"{units}/{target}.wants/{unit}", target=f"/lib/systemd/system/{_template(unit)}")
            for unit, target in ENABLED.items()
        ),
        RecipeFile(path=f"{units}/default.target", target="/lib/systemd/system/multi-user.target"),
        RecipeFile(
            path=f"{units}/systemd-remount-fs.service.d/pragmaspec.conf", content="[Unit]\nConditionFileNotEmpty=/etc/fstab\n"
        ),
        RecipeFile(
            path=f"{units}/systemd-journal-flush.service.d/pragmaspec.conf",
            content="[Unit]\nConditionPathExists=/var/log/journal\n",
        ),
        RecipeFile(path=f"{units}/systemd-udev-trigger.service.d/pragmaspec.conf", content=_udev_trigger()),
        *_cloud_init_settings(),
        *(_quick_files(units) if quick else _resolved_files(units)),
        RecipeFile(path="etc/modules-load.d/pragmaspec.conf", content="# The power button.\nbutton\nevdev\n"),
        # Empty, not absent: without the file, systemd assumes a first boot and presets all units.
        RecipeFile(path="etc/machine-id", mode=0o444),
        RecipeFile(path="etc/fstab"),
        RecipeFile(path="etc/hostname", content="localhost\n"),
    )


def data_file(name: str) -> str:
    """Return the text of a data file of this package."""
    return resources.files("pragmaspec.images.debian").joinpath("files", name).read_text(encoding="utf-8")


def _template(unit: str) -> str:
    name, at, rest = unit.partition("@")
    return f"{name}@.{rest.rpartition('.')[2]}" if at else unit


def _udev_trigger() -> str:
    quiet = " ".join(f"--subsystem-nomatch={kind}" for kind in QUIET_DEVICES)
    return (
        "[Service]\nExecStart=\n"
        f"ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=net,block {quiet}\n"
        "ExecStart=-udevadm trigger --action=add /sys/class/tty/ttyS0\n"
    )


def _cloud_init_settings() -> tuple[RecipeFile, ...]:
    return (
        RecipeFile(path="etc/cloud/ds-identify.cfg", content="policy: enabled\n"),
        RecipeFile(path="etc/cloud/cloud.cfg.d/90_pragmaspec.cfg", content=_CLOUD_CFG),
    )


def _resolved_files(units: str) -> tuple[RecipeFile, ...]:
    resolved = "systemd-resolved.service"
    return (
        RecipeFile(path=f"{units}/sysinit.target.wants/{resolved}", target=f"/lib/systemd/system/{resolved}"),
        RecipeFile(path="etc/resolv.conf", target="../run/systemd/resolve/stub-resolv.conf"),
    )


def _quick_files(units: str) -> tuple[RecipeFile, ...]:
    def unit(name: str, *lines: str) -> RecipeFile:
        return RecipeFile(
            path=f"{units}/{name}.service.d/pragmaspec.conf", content="\n".join(["[Service]", "ExecStart=", *lines, ""])
        )

    stage = "ExecStart=/usr/lib/pragmaspec/cloud-init-stage"
    return (
        unit(
            "cloud-init-local",
            "ExecStart=/usr/lib/pragmaspec/cloud-init-stages",
            "ExecStartPost=-/usr/lib/pragmaspec/network-settle",
            # The later stages, and processes that users start in them, run in this unit too.
            "KillMode=process",
            "TasksMax=infinity",
        ),
        unit("cloud-init", "ExecStartPre=-/usr/lib/pragmaspec/network-leases", f"{stage} init init"),
        unit("cloud-config", f"{stage} config modules --mode=config"),
        unit("cloud-final", f"{stage} final modules --mode=final"),
        *(
            RecipeFile(path=f"usr/lib/pragmaspec/{name}", content=data_file(name), mode=0o755)
            for name in ("cloud-init-stages", "cloud-init-stage", "network-settle", "network-leases")
        ),
        RecipeFile(path="etc/resolv.conf"),
    )


_CLOUD_CFG = """\
# A new node reads a disk, labelled cidata at hypervisors and config-2 at clouds. The network is systemd-networkd's, and the root
# file system fills its disk without a partition table.
datasource_list: [NoCloud, ConfigDrive, None]
growpart: {mode: 'off'}
system_info:
  network:
    renderers: [networkd]
cloud_init_modules: [bootcmd, write-files, growpart, resizefs, disk_setup, mounts, set_hostname, update_hostname,
  update_etc_hosts, ca-certs, users-groups, ssh]
cloud_config_modules: [ssh-import-id, locale, set-passwords, apt-configure, ntp, timezone, runcmd]
cloud_final_modules: [package-update-upgrade-install, write-files-deferred, scripts-vendor, scripts-per-once, scripts-per-boot,
  scripts-per-instance, scripts-user, phone-home, final-message, power-state-change]
"""

"""PRAGMA repositories as its sites kept them."""

import gzip
from pathlib import Path

VC_IN = """\
<vc version='0.1'>
  <virtualization engine='kvm' type='hvm' arch='x86_64'/>
  <driver>rocks6_client</driver>
  <frontend>
    <domain type='kvm'>
      <name>frontend</name>
      <memory>2097152</memory>
      <vcpu>2</vcpu>
      <devices>
        <disk type='file' device='cdrom'><source file='boot.iso'/></disk>
        <disk type='file' device='disk'>
          <driver name='qemu' type='raw'/><source file='frontend.vda'/><target dev='vda' bus='virtio'/>
        </disk>
      </devices>
    </domain>
    {frontend}
  </frontend>
  <compute>
    <boot_dependency parent='frontend'><wait type='clock' value='300'/></boot_dependency>
    <domain type='kvm'>
      <memory unit='MiB'>1024</memory>
      <vcpu>4</vcpu>
      <devices>
        <disk type='file' device='disk'>
          <driver name='qemu' type='raw'/><source file='compute.hda'/><target dev='hda' bus='ide'/>
        </disk>
      </devices>
    </domain>
    {compute}
  </compute>
  <networks>
    <network name='private'><ipaddress>10.1.1.1</ipaddress><netmask>255.255.0.0</netmask></network>
  </networks>
</vc>
"""
SPLIT_GZIP = (
    "<file type='splited_gzip' filename='frontend.vda'>"
    "<part>frontend.vda.gz.a</part><part>frontend.vda.gz.b</part><part>frontend.vda.gz.c</part></file>"
)


def raw_disk(seed: int, size: int = 2**20) -> bytes:
    """A raw disk with a boot sector, and content that tells disks apart."""
    sector = bytes(446) + bytes([0x80, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0xFF, 0, 0, 0]) + bytes(48) + b"\x55\xaa"
    return sector + bytes([seed]) * 5000 + bytes(size - 512 - 5000)


def cut(content: bytes, pieces: int) -> list[bytes]:
    step = -(-len(content) // pieces)
    return [content[at : at + step] for at in range(0, len(content), step)]


def write(directory: Path, name: str, frontend: str, compute: str, files: dict[str, bytes]) -> None:
    """A cluster in the folder of its name."""
    (directory / name).mkdir(parents=True)
    (directory / name / f"{name}.xml").write_text(VC_IN.format(frontend=frontend, compute=compute))
    for file, content in files.items():
        (directory / name / file).write_bytes(content)
    with (directory / "vcdb.txt").open("a") as index:
        index.write(f"{name},{name}/{name}.xml\n")


def repository(directory: Path) -> Path:
    """A cluster for each way of packing: ``plain``, ``packed``, ``split`` and ``both``. Their disks are the same two."""
    first, second = raw_disk(1), raw_disk(2)
    directory.mkdir()
    (directory / "vcdb.txt").write_text("# name,path\n\n")
    write(directory, "plain", "", "", {"frontend.vda": first, "compute.hda": second})
    packed = "<file type='gzip' filename='{0}'><part>{0}.gz</part></file>"
    files = {"frontend.vda.gz": gzip.compress(first), "compute.hda.gz": gzip.compress(second)}
    write(directory, "packed", packed.format("frontend.vda"), packed.format("compute.hda"), files)
    split = "<file type='splited'><part>{0}.1</part><part>{0}.2</part></file>"
    files = {f"{name}.{number}": part for name, disk in (("frontend.vda", first), ("compute.hda", second))
             for number, part in enumerate(cut(disk, 2), start=1)}  # fmt: skip
    write(directory, "split", split.format("frontend.vda"), split.format("compute.hda"), files)
    parts = dict(zip(("frontend.vda.gz.a", "frontend.vda.gz.b", "frontend.vda.gz.c"), cut(gzip.compress(first), 3), strict=True))
    write(directory, "both", SPLIT_GZIP, "", {**parts, "compute.hda": second})
    return directory

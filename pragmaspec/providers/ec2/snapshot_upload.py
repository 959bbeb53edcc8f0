"""The upload of a disk as a snapshot, block by block (EBS direct API). One that was cut off is continued.

Blocks of zeros are left out. The service verifies the SHA-256 of each block, and of all of them at the end. The number of blocks
that have arrived is a tag of the snapshot, so that another run, also of another machine, can continue.

Source: Amazon EBS User Guide, "Use EBS direct APIs".
"""

import os
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from pragmaspec.errors import SiteError
from pragmaspec.images.formats.qcow2_reader import guest_view
from pragmaspec.images.formats.random_access import RandomAccess, RandomAccessFile
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.marks import tag_values
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.gibibytes import whole_gib

DIGEST = "pragmaspec-image"
"""Key of the tag of images and snapshots with the digest of the disk."""
_DONE, _BLOCKS = "pragmaspec-done", "blocks-"
BLOCK_BYTES = 512 * 1024
_BATCH = 64
"""Blocks that are sent before progress is reported, and noted in a tag of the snapshot; 32 MiB."""
_PARALLEL = 8
_TIMEOUT_MIN = 24 * 60
"""Minutes after which the service discards a snapshot that gets no more blocks."""
_COMPLETION_S = 1800.0


class Block(NamedTuple):
    """A block of the disk that is not all zeros."""

    number: int
    content: bytes
    digest: bytes


def digest_tag(digest: str) -> dict[str, str]:
    """Return the tag of an image."""
    return {"Key": DIGEST, "Value": f"sha256-{digest}"}


class SnapshotUpload:
    """The upload of one image."""

    def __init__(self, service: Service, request: StageRequest) -> None:
        self._service = service
        self._call = service.connection.call
        self._request = request
        self._image = request.image

    def complete(self) -> str:
        """Write what is missing, and return the id of the complete snapshot."""
        found = self._present()
        if found is not None and found["State"] == "completed":
            return str(found["SnapshotId"])
        # Before the snapshot: an image that cannot be obtained leaves nothing at the site.
        with self._disk() as disk:
            snapshot, done = self._begun(found)
            count, checksum = self._write(snapshot, disk, done)
        self._call(
            "complete_snapshot",
            service="ebs",
            repeatable=True,
            SnapshotId=snapshot,
            ChangedBlocksCount=count,
            Checksum=checksum,
            ChecksumAlgorithm="SHA256",
            ChecksumAggregationMethod="LINEAR",
        )
        self._wait(snapshot)
        return snapshot

    def _present(self) -> Answer | None:
        """Return a snapshot of the image, the complete one first."""
        tagged = [{"Name": f"tag:{DIGEST}", "Values": [digest_tag(self._image.digest)["Value"]]}]
        listed = self._service.connection.listed("describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=tagged)
        usable = [each for each in listed if each["State"] in ("pending", "completed")]
        return min(usable, key=lambda each: (each["State"], each["SnapshotId"]), default=None)

    def _begun(self, found: Answer | None) -> tuple[str, int]:
        """Return the id of the snapshot to write, and the number of blocks that have arrived."""
        if found is not None:
            done = tag_values(found).get(_DONE, "").removeprefix(_BLOCKS)
            return str(found["SnapshotId"]), int(done) if done.isdecimal() else 0
        size_gib = max(1, whole_gib(self._image.virtual_size_bytes))
        tags = [digest_tag(self._image.digest), {"Key": "Name", "Value": self._image.name}]
        answer = self._call(
            "start_snapshot",
            service="ebs",
            VolumeSize=size_gib,
            Description=f"pragmaspec image {self._image.name}",
            Tags=tags,
            Timeout=_TIMEOUT_MIN,
        )
        return str(answer["SnapshotId"]), 0

    @contextmanager
    def _disk(self) -> Iterator[RandomAccess]:
        """Open the disk as its guest sees it."""
        handle = os.open(self._request.files.disk, os.O_RDONLY | os.O_CLOEXEC)
        try:
            file = RandomAccessFile(handle)
            yield guest_view(file) if self._image.format == "qcow2" else file
        finally:
            os.close(handle)

    def _write(self, snapshot: str, disk: RandomAccess, done: int) -> tuple[int, str]:
        """Send the blocks after the first ``done`` ones; return the number of all, and their checksum."""
        blocks, total = _blocks(disk), sha256()
        count = 0
        with ThreadPoolExecutor(_PARALLEL) as pool:
            while batch := list(islice(blocks, _BATCH)):
                missing = batch[max(0, done - count) :]
                list(pool.map(lambda block: self._put(snapshot, block), missing))
                for block in batch:
                    total.update(block.digest)
                count += len(batch)
                self._report(batch[-1].number + 1, disk.size)
                if missing:
                    self._service.tag(snapshot, [{"Key": _DONE, "Value": f"{_BLOCKS}{count}"}])
        return count, b64encode(total.digest()).decode()

    def _put(self, snapshot: str, block: Block) -> None:
        self._call(
            "put_snapshot_block",
            service="ebs",
            repeatable=True,
            SnapshotId=snapshot,
            BlockIndex=block.number,
            BlockData=block.content,
            DataLength=BLOCK_BYTES,
            Checksum=b64encode(block.digest).decode(),
            ChecksumAlgorithm="SHA256",
        )

    def _report(self, blocks: int, size: int) -> None:
        total = self._image.transfer_bytes
        self._request.progress(min(total, total * blocks * BLOCK_BYTES // max(1, size)), total)

    def _wait(self, snapshot: str) -> None:
        clock = self._service.connection.clock
        until = clock.monotonic() + _COMPLETION_S
        while True:
            (found,) = self._call("describe_snapshots", SnapshotIds=[snapshot])["Snapshots"]
            if found["State"] == "completed":
                return
            if found["State"] != "pending" or clock.monotonic() >= until:
                raise SiteError(
                    "The site did not complete a snapshot",
                    f"Snapshot {snapshot} of image {self._image.name} is {found['State']}. Apply again; if that does not help, "
                    "delete the snapshot at the site.",
                )
            clock.sleep(2)


def _blocks(disk: RandomAccess) -> Iterator[Block]:
    """Yield the blocks that are not all zeros; the last one is filled with zeros."""
    zeros = bytes(BLOCK_BYTES)
    for number in range(-(-disk.size // BLOCK_BYTES)):
        content = disk.read_at(number * BLOCK_BYTES, BLOCK_BYTES).ljust(BLOCK_BYTES, b"\0")
        if content != zeros:
            yield Block(number, content, sha256(content).digest())

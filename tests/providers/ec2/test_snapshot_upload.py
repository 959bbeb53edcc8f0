"""Uploads of disks as snapshots: checksums, holes, and the continuation of one that was cut off."""

from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError

from pragmaspec.images.formats.qcow2_writer import write_qcow2
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.ec2.snapshot_upload import BLOCK_BYTES, SnapshotUpload
from pragmaspec.resources import Blob, Mark, StagedImage
from tests.providers.ec2.doubles import refused, service_of


class Snapshots:
    """The EBS direct API: it verifies every checksum, and completes a snapshot only if all of its blocks have arrived."""

    def __init__(self, cut_after: int = -1) -> None:
        self.blocks: dict[int, bytes] = {}
        self.snapshot: dict = {}
        self.puts = 0
        self.cut_after = cut_after

    @property
    def answers(self):
        operations = (self.start_snapshot, self.put_snapshot_block, self.complete_snapshot, self.describe_snapshots)
        return {each.__name__: each for each in (*operations, self.create_tags)}

    def start_snapshot(self, **parameters):
        self.snapshot = {"SnapshotId": "snap-1", "State": "pending", "VolumeSize": parameters["VolumeSize"]}
        self.snapshot["Tags"] = list(parameters["Tags"])
        return self.snapshot

    def put_snapshot_block(self, SnapshotId, BlockIndex, BlockData, DataLength, Checksum, ChecksumAlgorithm):  # noqa: N803
        if self.puts == self.cut_after:
            raise ConnectionClosedError(endpoint_url="https://ebs")
        self.puts += 1
        assert (SnapshotId, ChecksumAlgorithm, len(BlockData)) == ("snap-1", "SHA256", DataLength)
        assert b64decode(Checksum) == sha256(BlockData).digest()
        self.blocks[BlockIndex] = BlockData
        return {}

    def complete_snapshot(self, SnapshotId, ChangedBlocksCount, Checksum, **parameters):  # noqa: N803
        assert parameters == {"ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"}
        digests = b"".join(sha256(self.blocks[number]).digest() for number in sorted(self.blocks))
        if ChangedBlocksCount != len(self.blocks) or b64decode(Checksum) != sha256(digests).digest():
            raise refused("ValidationException", "CompleteSnapshot")
        self.snapshot["State"] = "completed"
        return {"Status": "pending"}

    def describe_snapshots(self, **_):
        return {"Snapshots": [self.snapshot] if self.snapshot else []}

    def create_tags(self, Resources, Tags):  # noqa: N803
        given = {tag["Key"] for tag in Tags}
        self.snapshot["Tags"] = [tag for tag in self.snapshot["Tags"] if tag["Key"] not in given] + Tags
        return {}


def disk(path: Path, numbers: range, blocks: int) -> Path:
    """Write a sparse disk whose blocks ``numbers`` are not zeros."""
    with path.open("wb") as file:
        file.truncate(blocks * BLOCK_BYTES - 512)
        for number in numbers:
            file.seek(number * BLOCK_BYTES + 7)
            file.write(number.to_bytes(2, "big") + b"data")
    return path


def upload(snapshots: Snapshots, path: Path, kind: str = "raw", progress=lambda _done, _total: None) -> str:
    digest = sha256(path.read_bytes()).hexdigest()
    image = StagedImage(
        site="lab",
        name="own",
        digest=digest,
        format=kind,
        virtual_size_bytes=path.stat().st_size,
        disk=Blob(sha256=digest, size_bytes=path.stat().st_size),
    )
    request = StageRequest(image, Mark(lineage="a", address=image.address), lambda: ImageFiles(disk=path), progress)
    return SnapshotUpload(service_of(snapshots.answers, "tag_at_creation", "disk_upload"), request).complete()


def test_only_blocks_with_data_are_sent(tmp_path: Path) -> None:
    snapshots = Snapshots()
    assert upload(snapshots, disk(tmp_path / "disk", range(2, 9, 3), 2050)) == "snap-1"
    assert sorted(snapshots.blocks) == [2, 5, 8]
    assert (snapshots.snapshot["State"], snapshots.snapshot["VolumeSize"]) == ("completed", 2)


def test_an_upload_is_continued(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", range(70), 70)
    snapshots = Snapshots(cut_after=66)
    with pytest.raises(ConnectionClosedError):
        upload(snapshots, path)
    assert snapshots.snapshot["State"] == "pending"
    snapshots.cut_after, before = -1, snapshots.puts
    assert upload(snapshots, path) == "snap-1"
    assert snapshots.puts - before == 70 - 64, "the blocks before the last note are not sent again"
    assert len(snapshots.blocks) == 70


def test_a_complete_snapshot_is_used(tmp_path: Path) -> None:
    path, snapshots = disk(tmp_path / "disk", range(2), 2), Snapshots()
    upload(snapshots, path)
    upload(snapshots, path)
    assert snapshots.puts == 2


def test_the_disk_of_a_qcow2_file_is_sent(tmp_path: Path) -> None:
    raw, packed = disk(tmp_path / "raw", range(3), 8), tmp_path / "disk.qcow2"
    with packed.open("wb") as file:
        write_qcow2(file, [raw.read_bytes()])
    snapshots = Snapshots()
    upload(snapshots, packed, "qcow2")
    content = b"".join(snapshots.blocks[number] for number in range(3))
    assert content == raw.read_bytes()[: 3 * BLOCK_BYTES]


def test_progress_ends_with_the_size_of_the_file(tmp_path: Path) -> None:
    path, seen = disk(tmp_path / "disk", range(70), 70), []
    upload(Snapshots(), path, progress=lambda done, total: seen.append((done, total)))
    size = path.stat().st_size
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)

"""Disks of nodes besides the first."""

from typing import Annotated, Literal

from pydantic import Field

from pragmaspec.spec.fields.disks import mount_point, volume_choice
from pragmaspec.spec.fields.scalars import disk
from pragmaspec.spec.models.base import Model


class DiskModel(Model):
    """A further disk of each node of a role."""

    size_bytes: Annotated[int, disk()] = Field(
        alias="size", description="Size of the disk. It can grow while the node runs.", examples=["100 GiB"]
    )
    format: Literal["ext4", "xfs", "none"] = Field(
        default="ext4",
        description="File system to create if the disk is empty; `none`: the disk is left as it is.",
        examples=["xfs"],
    )
    mount: Annotated[str | None, mount_point()] = Field(
        default=None, description="Directory to mount it at. Default: it is not mounted.", examples=["/scratch"]
    )
    keep: Annotated[bool | str, volume_choice()] = Field(
        default=False,
        description="If true, the disk is a volume, which outlives its node and its cluster, with the name `<node>-<disk>`. Or "
        "the name of the volume; nodes other than the frontend add their index to it.",
        examples=[True, "home"],
    )

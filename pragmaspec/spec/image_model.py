"""Images of the spec: where a disk comes from."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pragmaspec.spec.model import Model
from pragmaspec.spec.scalars import text
from pragmaspec.spec.wrong import wrong

_PACKAGE = text(r"^[a-z0-9][a-z0-9+.-]*$", "write the name of a Debian package, such as openmpi-bin")
_PATH = text(r"^[^\n\x00]+$", "write a path, relative to the spec")


class BuildModel(Model):
    """An image built from Debian packages with mmdebstrap, the same bytes every time for the same snapshot."""

    debian: Annotated[str, text(r"^[a-z][a-z-]*$", "write a suite by name, such as bookworm")] = Field(
        description="Debian suite, by its code name.", examples=["bookworm", "trixie"]
    )
    packages: tuple[Annotated[str, _PACKAGE], ...] = Field(
        default=(), description="Packages to put in beside those every image has.", examples=[["openmpi-bin", "nfs-common"]]
    )
    mirror: Annotated[str | None, text(r"^https?://[^\s@]+$", "write a URL such as http://mirror.example.org/debian")] = Field(
        default=None,
        description="Where packages come from. Default: what this machine's apt uses.",
        examples=["http://mirror.example.org/debian"],
    )
    snapshot: Annotated[
        str | None, text(r"^[0-9]{8}T[0-9]{6}Z$", "write a time of the Debian snapshot archive, such as 20261101T000000Z")
    ] = Field(default=None, description="A moment of the Debian snapshot archive to build from.", examples=["20261101T000000Z"])


class ImageModel(Model):
    """A named disk: built from packages, or fetched from a source. Exactly one of `build` and `source`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["build"]}, {"required": ["source"]}],
            "dependentRequired": {
                "initrd": ["kernel"],
                "cmdline": ["kernel"],
                **{key: ["source"] for key in ("sha256", "format", "kernel")},
            },
            "if": {"required": ["source"], "properties": {"source": {"pattern": "^https?://"}}},
            "then": {"required": ["sha256"]},
        }
    )

    build: BuildModel | None = Field(
        default=None, description="Build it from Debian packages.", examples=[{"debian": "bookworm"}]
    )
    source: Annotated[
        str | None,
        text(
            r"^(https?://[^\s@]+|[^\s:@]([^\n:]*[^\s:])?)$",
            "write https://… (without a password), or a path relative to the spec",
        ),
    ] = Field(
        default=None,
        description="Where the disk is: a URL (then `sha256` is needed) or a path relative to the spec.",
        examples=["./disk.qcow2", "https://images.example.org/debian-12-generic-amd64.qcow2"],
    )
    sha256: Annotated[
        str | None, text(r"^[0-9a-f]{64}$", "write the 64 lower-case hexadecimal digits that `sha256sum` prints")
    ] = Field(default=None, description="SHA-256 of the source's bytes; needed for a URL.", examples=["9f86d081" * 8])
    format: Literal["qcow2", "raw"] | None = Field(
        default=None, description="Format of the disk. Default: what the disk itself shows.", examples=["qcow2"]
    )
    kernel: Annotated[str | None, _PATH] = Field(
        default=None,
        description="Kernel to boot directly, for a disk without a boot loader: a path relative to the spec.",
        examples=["./vmlinuz"],
    )
    initrd: Annotated[str | None, _PATH] = Field(
        default=None, description="Initial RAM disk for `kernel`: a path relative to the spec.", examples=["./initrd.img"]
    )
    cmdline: Annotated[str | None, text(r"^[ -~]+$", "write one line of printable ASCII")] = Field(
        default=None, description="Command line for `kernel`.", examples=["root=/dev/vda console=ttyS0"]
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.build and self.source:
            raise wrong("Two origins", "an image has either `build` or `source`; remove one")
        if not self.build and not self.source:
            raise wrong("No origin", "write build: {debian: bookworm}, or source: with a URL or a path")
        if self.build and (self.sha256 or self.format or self.kernel or self.initrd or self.cmdline):
            raise wrong(
                "Not for a built image", "`sha256`, `format`, `kernel`, `initrd` and `cmdline` belong to `source`; remove them"
            )
        if self.source and self.source.startswith(("http://", "https://")) and not self.sha256:
            raise wrong(
                "Digest missing",
                "a URL needs `sha256`: download it once, check where it came from, write what `sha256sum` prints",
            )
        if (self.initrd or self.cmdline) and not self.kernel:
            raise wrong("Kernel missing", "`initrd` and `cmdline` go with `kernel`; write kernel: and a path, or remove them")
        return self

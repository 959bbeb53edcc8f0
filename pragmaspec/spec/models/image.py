"""Images of the spec: where a disk comes from."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from pragmaspec.net.urls import WEB_SCHEMES, is_url
from pragmaspec.spec.fields.scalars import text
from pragmaspec.spec.fields.url import path_field, url_field
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.value_errors import value_error

_HTTP_OR_S3 = (*WEB_SCHEMES, "s3")
_MIRROR = url_field("write a URL such as http://mirror.example.org/debian", secrets="use a mirror that asks for none")
_PACKAGE = text(r"^[a-z0-9][a-z0-9+.-]*$", "write the name of a Debian package, such as openmpi-bin")
_PATH = path_field("write a path, relative to the spec")
_URL = url_field("write a URL such as https://images.example.org/SHA256SUMS, without a password")
_PLACE = url_field(
    "write the https:// or s3:// URL of a folder (without a password), or a path relative to the spec",
    schemes=_HTTP_OR_S3,
    path=True,
    folder=True,
)
_SIGNATURE = url_field("write the URL of the signature, or inline when it is around the digests", words=("inline",))
_SOURCE = url_field(
    "write https://… (without a password), s3://BUCKET/KEY, or a path relative to the spec", schemes=_HTTP_OR_S3, path=True
)
_COPY = url_field("write https://… or s3://…, without a password", schemes=_HTTP_OR_S3)


class BuildModel(Model):
    """An image built from Debian's or Ubuntu's packages with mmdebstrap, the same bytes every time for the same snapshot."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["debian"]}, {"required": ["ubuntu"]}]})

    debian: Annotated[str | None, text(r"^[a-z][a-z-]*$", "write a suite by name, such as bookworm")] = Field(
        default=None, description="Debian suite, by its code name.", examples=["bookworm", "trixie"]
    )
    ubuntu: Annotated[str | None, text(r"^[a-z][a-z-]*$", "write a release by its code name, such as noble")] = Field(
        default=None, description="Ubuntu release, by its code name.", examples=["noble", "jammy"]
    )
    packages: tuple[Annotated[str, _PACKAGE], ...] = Field(
        default=(), description="Packages to put in beside those every image has.", examples=[["openmpi-bin", "nfs-common"]]
    )
    mirror: Annotated[str | None, _MIRROR] = Field(
        default=None,
        description="Where packages come from. Default: what this machine's apt uses.",
        examples=["http://mirror.example.org/debian"],
    )
    snapshot: Annotated[
        str | None, text(r"^[0-9]{8}T[0-9]{6}Z$", "write a time of a snapshot archive, such as 20261101T000000Z")
    ] = Field(default=None, description="A moment of a snapshot archive to build from.", examples=["20261101T000000Z"])
    keyring: Annotated[str | None, _PATH] = Field(
        default=None,
        description="File with the archive's keys: a path relative to the spec. Default: the distribution's own.",
        examples=["./ubuntu-archive-keyring.gpg"],
    )

    @model_validator(mode="after")
    def _one_distribution(self) -> Self:
        if self.debian and self.ubuntu:
            raise value_error("Two distributions", "`debian` and `ubuntu` are both written; keep one")
        if not (self.debian or self.ubuntu):
            raise value_error("No distribution", "write debian: bookworm, or ubuntu: noble")
        return self


class SumsModel(Model):
    """What a publisher says of its files: a file of SHA-256 or SHA-512 digests, and who signs it."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["signature"]},
            "then": {"required": ["key"], "anyOf": [{"required": ["key_url"]}, {"required": ["keyring"]}]},
        }
    )

    url: Annotated[str, _URL] = Field(
        description="File of digests, such as SHA256SUMS or CHECKSUM.", examples=["https://images.example.org/SHA256SUMS"]
    )
    signature: Annotated[str | None, _SIGNATURE] = Field(
        default=None,
        description="Its OpenPGP signature: a URL, or `inline`. Without one, only TLS vouches for the digests.",
        examples=["https://images.example.org/SHA256SUMS.gpg", "inline"],
    )
    key: Annotated[str | None, text(r"^[0-9A-Fa-f]{40}$", "write the 40 hexadecimal digits of the key's fingerprint")] = Field(
        default=None, description="Fingerprint of the key that signs.", examples=["D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"]
    )
    key_url: Annotated[str | None, _URL] = Field(
        default=None,
        description="Where the key can be had; `key` makes sure that it is the right one.",
        examples=["https://images.example.org/key.asc"],
    )
    keyring: Annotated[str | None, _PATH] = Field(
        default=None, description="A file that holds the key: a path relative to the spec.", examples=["./publisher.gpg"]
    )

    @model_validator(mode="after")
    def _signed_by_somebody(self) -> Self:
        if self.signature and not (self.key and (self.key_url or self.keyring)):
            raise value_error("Key missing", "`signature` needs `key`, and `key_url` or `keyring`; write them too")
        if self.key and not self.signature:
            raise value_error("Signature missing", "`key` goes with `signature`; write where the signature is")
        return self


class PragmaModel(Model):
    """A disk of a PRAGMA repository: of one virtual cluster, for its frontend or its computes."""

    repository: Annotated[str, _PLACE] = Field(
        description="Folder of the repository, where its vcdb.txt is: a URL, or a path relative to the spec.",
        examples=["https://d111111abcdef8.cloudfront.net/repository"],
    )
    cluster: Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "write a name that stands in vcdb.txt")] = Field(
        description="Name of the virtual cluster, as in vcdb.txt.", examples=["centos7"]
    )
    role: Literal["frontend", "compute"] = Field(
        default="frontend", description="Whose disk: `frontend` or `compute`.", examples=["compute"]
    )


class ImageModel(Model):
    """A named disk: built from packages, or fetched. Exactly one of `build`, `source`, `catalogue`, `clonezilla` and `pragma`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [key]} for key in ("build", "source", "catalogue", "clonezilla", "pragma")],
            "dependentRequired": {
                "initrd": ["kernel"],
                "cmdline": ["kernel"],
                **{key: ["source"] for key in ("mirrors", "sha256", "sums", "format", "kernel", "member")},
            },
            "dependentSchemas": {"firmware": {"not": {"anyOf": [{"required": [key]} for key in ("kernel", "build")]}}},
        }
    )

    build: BuildModel | None = Field(
        default=None, description="Build it from Debian packages.", examples=[{"debian": "bookworm"}]
    )
    source: Annotated[str | None, _SOURCE] = Field(
        default=None,
        description="Where the disk is: a URL (https, s3, a link to Google Drive) or a path relative to the spec.",
        examples=["./disk.qcow2", "https://images.example.org/debian-12-generic-amd64.qcow2", "s3://images/disk.qcow2"],
    )
    catalogue: Annotated[str | None, text(r"^[a-z0-9][a-z0-9.-]*$", "write a name such as debian-12")] = Field(
        default=None,
        description="A published image by its short name: the newest, as of the day it is pinned.",
        examples=["debian-12", "ubuntu-24.04", "rocky-9"],
    )
    clonezilla: Annotated[str | None, _PLACE] = Field(
        default=None,
        description="Folder of a Clonezilla image: a URL, or a path relative to the spec.",
        examples=["./2026-11-01-img", "https://images.example.org/2026-11-01-img/"],
    )
    pragma: PragmaModel | None = Field(
        default=None,
        description="A disk of a PRAGMA repository.",
        examples=[{"repository": "https://images.example.org/repository", "cluster": "centos7"}],
    )
    mirrors: tuple[Annotated[str, _COPY], ...] = Field(
        default=(),
        description="Other URLs of the same file, asked in this order when the source does not give it.",
        examples=[["https://mirror.example.org/disk.qcow2"]],
    )
    sha256: Annotated[
        str | None, text(r"^[0-9a-f]{64}$", "write the 64 lower-case hexadecimal digits that `sha256sum` prints")
    ] = Field(
        default=None,
        description="SHA-256 of the source's bytes. Without it a URL is pinned by `pragmaspec lock`.",
        examples=["9f86d081" * 8],
    )
    sums: SumsModel | None = Field(
        default=None,
        description="What the publisher says of the source's bytes, instead of `sha256`.",
        examples=[{"url": "https://images.example.org/SHA256SUMS"}],
    )
    format: Literal["qcow2", "raw", "vmdk", "vdi", "vhd", "vhdx"] | None = Field(
        default=None,
        description="Format of the disk. Default: what the disk itself shows. Needed for all but qcow2 and raw.",
        examples=["qcow2", "vmdk"],
    )
    member: Annotated[str | None, text(r"^[^\n\x00]+$", "write the path of a file in the archive, such as box.img")] = Field(
        default=None,
        description="Which file of an archive (OVA, box, tar, zip) is the disk: its path in it. Default: what its description "
        "says, else its only disk.",
        examples=["appliance-disk1.vmdk"],
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
    firmware: Literal["bios", "uefi"] | None = Field(
        default=None,
        description="What starts a disk that has its own boot loader: `bios` or `uefi`. Default: `bios` where the disk has boot "
        "code for it, else `uefi`.",
        examples=["uefi"],
    )
    guest: Literal["cloud-init", "files"] = Field(
        default="cloud-init",
        description="How a node learns who it is: from its `cloud-init`, or by `files` put into its disk before the first boot.",
        examples=["files"],
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [key for key in ("build", "source", "catalogue", "clonezilla", "pragma") if getattr(self, key)]
        if len(origins) > 1:
            raise value_error("Two origins", f"`{'` and `'.join(origins)}` are both written; keep one")
        if not origins:
            raise value_error(
                "No origin", "write build: {debian: bookworm}, catalogue: debian-12, or source: with a URL or a path"
            )
        beside = [
            key for key in ("mirrors", "sha256", "sums", "format", "member", "kernel", "initrd", "cmdline") if getattr(self, key)
        ]
        if beside and not self.source:
            raise value_error("Only for a source", f"`{beside[0]}` belongs to `source`, not to `{origins[0]}`; remove it")
        if (self.initrd or self.cmdline) and not self.kernel:
            raise value_error(
                "Kernel missing", "`initrd` and `cmdline` go with `kernel`; write kernel: and a path, or remove them"
            )
        return self

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.firmware and (self.kernel or self.build):
            loaded = "kernel" if self.kernel else "build"
            raise value_error(
                "Two ways to start", f"`firmware` starts the disk's own loader, and `{loaded}` gives it a kernel; remove one"
            )
        return self

    @model_validator(mode="after")
    def _one_voucher(self) -> Self:
        remote = bool(self.source and is_url(self.source, _HTTP_OR_S3))
        if (self.mirrors or self.sums) and not remote:
            raise value_error("Only for a URL", "`mirrors` and `sums` go with a source that is a URL; remove them")
        if self.sha256 and self.sums:
            raise value_error("Two digests", "`sha256` and `sums` both say which bytes are meant; remove one")
        if remote and self.kernel and not self.sha256:
            raise value_error(
                "Digest missing",
                "a URL with a `kernel` needs `sha256`: download it once, check where it came from, write what `sha256sum` prints",
            )
        return self


class InvalidImageSourceError(ValueError):
    """The reason why a place cannot be that of an image: a sentence without a full stop."""


def image_from_location(place: str, *, folder: bool = False) -> ImageModel:
    """The image at a path or URL (``folder``: a Clonezilla image), of which nothing else is said. Raises UnfitError."""
    try:
        return ImageModel(clonezilla=place) if folder else ImageModel(source=place)
    except ValidationError as error:
        detail = "; ".join(str(each["ctx"]["detail"]) for each in error.errors())
        raise InvalidImageSourceError(detail[:1].upper() + detail[1:]) from None

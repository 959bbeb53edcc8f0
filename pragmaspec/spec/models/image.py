"""Models of images."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from pragmaspec.net.urls import WEB_SCHEMES, is_url
from pragmaspec.spec.fields.scalars import name, text
from pragmaspec.spec.fields.url import path_field, url_field
from pragmaspec.spec.findings import listed
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.value_errors import value_error
from pragmaspec.text import capitalized

_HTTP_OR_S3 = (*WEB_SCHEMES, "s3")
_AT_ADVICE = "write the name or the id of an image at the site, such as Featured-Ubuntu24"
_MIRROR = url_field("write a URL such as http://mirror.example.org/debian", credential_advice="use a mirror that requires none")
_PACKAGE = text(r"^[a-z0-9][a-z0-9+.-]*$", "write the name of a Debian package, such as openmpi-bin")
_PATH = path_field("write a path relative to the spec")
_URL = url_field("write a URL such as https://images.example.org/SHA256SUMS, without a password")
_PLACE = url_field(
    "write the https:// or s3:// URL of a directory (without a password), or a path relative to the spec",
    schemes=_HTTP_OR_S3,
    path=True,
    directory=True,
)
_SIGNATURE = url_field("write the URL of the signature, or inline if the file of checksums contains it", words=("inline",))
_SOURCE = url_field(
    "write https://… (without a password), s3://BUCKET/KEY, or a path relative to the spec", schemes=_HTTP_OR_S3, path=True
)
_COPY = url_field("write https://… or s3://…, without a password", schemes=_HTTP_OR_S3)


class BuildModel(Model):
    """An image built from Debian or Ubuntu packages with mmdebstrap, reproducibly for a given snapshot."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["debian"]}, {"required": ["ubuntu"]}]})

    debian: Annotated[str | None, text(r"^[a-z][a-z-]*$", "write the code name of a suite, such as bookworm")] = Field(
        default=None, description="Code name of a Debian suite.", examples=["bookworm", "trixie"]
    )
    ubuntu: Annotated[str | None, text(r"^[a-z][a-z-]*$", "write the code name of a release, such as noble")] = Field(
        default=None, description="Code name of an Ubuntu release.", examples=["noble", "jammy"]
    )
    packages: tuple[Annotated[str, _PACKAGE], ...] = Field(
        default=(),
        description="Packages to install in addition to those of every image.",
        examples=[["openmpi-bin", "nfs-common"]],
    )
    mirror: Annotated[str | None, _MIRROR] = Field(
        default=None,
        description="Package mirror. Default: that of this machine's apt.",
        examples=["http://mirror.example.org/debian"],
    )
    snapshot: Annotated[
        str | None, text(r"^[0-9]{8}T[0-9]{6}Z$", "write the timestamp of a snapshot, such as 20261101T000000Z")
    ] = Field(default=None, description="Timestamp of a snapshot archive to build from.", examples=["20261101T000000Z"])
    keyring: Annotated[str | None, _PATH] = Field(
        default=None,
        description="File with the archive's keys: a path relative to the spec. Default: the distribution's keyring.",
        examples=["./ubuntu-archive-keyring.gpg"],
    )

    @model_validator(mode="after")
    def _one_distribution(self) -> Self:
        if self.debian and self.ubuntu:
            raise value_error("Two distributions", "`debian` and `ubuntu` are both set; keep one")
        if not (self.debian or self.ubuntu):
            raise value_error("No distribution", "write debian: bookworm, or ubuntu: noble")
        return self


class SumsModel(Model):
    """Published checksums: a file of SHA-256 or SHA-512 checksums, and its signature."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["signature"]},
            "then": {"required": ["key"], "anyOf": [{"required": ["key_url"]}, {"required": ["keyring"]}]},
        }
    )

    url: Annotated[str, _URL] = Field(
        description="URL of a file of checksums, such as SHA256SUMS or CHECKSUM.",
        examples=["https://images.example.org/SHA256SUMS"],
    )
    signature: Annotated[str | None, _SIGNATURE] = Field(
        default=None,
        description="Its OpenPGP signature: a URL, or `inline`. Without one, the checksums are authenticated by TLS only.",
        examples=["https://images.example.org/SHA256SUMS.gpg", "inline"],
    )
    key: Annotated[str | None, text(r"^[0-9A-Fa-f]{40}$", "write the 40 hexadecimal digits of the key's fingerprint")] = Field(
        default=None, description="Fingerprint of the signing key.", examples=["D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"]
    )
    key_url: Annotated[str | None, _URL] = Field(
        default=None,
        description="URL of the signing key, which is verified with `key`.",
        examples=["https://images.example.org/key.asc"],
    )
    keyring: Annotated[str | None, _PATH] = Field(
        default=None, description="File with the signing key: a path relative to the spec.", examples=["./publisher.gpg"]
    )

    @model_validator(mode="after")
    def _signature_with_key(self) -> Self:
        if self.signature and not (self.key and (self.key_url or self.keyring)):
            raise value_error("Key missing", "`signature` requires `key`, and `key_url` or `keyring`; add them")
        if self.key and not self.signature:
            raise value_error("Signature missing", "`key` requires `signature`; add the location of the signature")
        return self


class PragmaModel(Model):
    """A disk in a PRAGMA repository: of a virtual cluster, for its frontend or its computes."""

    repository: Annotated[str, _PLACE] = Field(
        description="Directory of the repository, which contains vcdb.txt: a URL, or a path relative to the spec.",
        examples=["https://d111111abcdef8.cloudfront.net/repository"],
    )
    cluster: Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "write a name listed in vcdb.txt")] = Field(
        description="Name of the virtual cluster, as in vcdb.txt.", examples=["centos7"]
    )
    role: Literal["frontend", "compute"] = Field(
        default="frontend", description="Role of the disk: `frontend` or `compute`.", examples=["compute"]
    )


_ORIGINS = ("build", "source", "catalogue", "clonezilla", "pragma")


class ImageModel(Model):
    """An image. Exactly one of `build`, `source`, `catalogue`, `clonezilla` and `pragma` is required, unless it has `at`."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"oneOf": [{"required": [key]} for key in _ORIGINS]},
                {"required": ["at"], "not": {"anyOf": [{"required": [key]} for key in _ORIGINS]}},
            ],
            "dependentRequired": {
                "initrd": ["kernel"],
                "cmdline": ["kernel"],
                **{key: ["source"] for key in ("mirrors", "sha256", "sums", "format", "kernel", "member")},
            },
            "dependentSchemas": {
                "firmware": {"not": {"anyOf": [{"required": [key]} for key in ("kernel", "build")]}},
                "at": {"properties": {"guest": {"enum": ["cloud-init"]}}},
            },
        }
    )

    build: BuildModel | None = Field(
        default=None, description="Build the image from packages.", examples=[{"debian": "bookworm"}]
    )
    source: Annotated[str | None, _SOURCE] = Field(
        default=None,
        description="Location of the disk: a URL (https, s3, a link to Google Drive), or a path relative to the spec.",
        examples=["./disk.qcow2", "https://images.example.org/debian-12-generic-amd64.qcow2", "s3://images/disk.qcow2"],
    )
    catalogue: Annotated[str | None, text(r"^[a-z0-9][a-z0-9.-]*$", "write a name such as debian-12")] = Field(
        default=None,
        description="Name of a published image; its newest version at the time of pinning is used.",
        examples=["debian-12", "ubuntu-24.04", "rocky-9"],
    )
    clonezilla: Annotated[str | None, _PLACE] = Field(
        default=None,
        description="Directory of a Clonezilla image: a URL, or a path relative to the spec.",
        examples=["./2026-11-01-img", "https://images.example.org/2026-11-01-img/"],
    )
    pragma: PragmaModel | None = Field(
        default=None,
        description="A disk in a PRAGMA repository.",
        examples=[{"repository": "https://images.example.org/repository", "cluster": "centos7"}],
    )
    mirrors: tuple[Annotated[str, _COPY], ...] = Field(
        default=(),
        description="Other URLs of the same file, tried in this order if the source fails.",
        examples=[["https://mirror.example.org/disk.qcow2"]],
    )
    sha256: Annotated[
        str | None, text(r"^[0-9a-f]{64}$", "write the 64 lower-case hexadecimal digits that `sha256sum` prints")
    ] = Field(
        default=None,
        description="SHA-256 of the source file. Without it, `pragmaspec lock` pins a URL.",
        examples=["9f86d081" * 8],
    )
    sums: SumsModel | None = Field(
        default=None,
        description="The publisher's checksums of the source file, instead of `sha256`.",
        examples=[{"url": "https://images.example.org/SHA256SUMS"}],
    )
    format: Literal["qcow2", "raw", "vmdk", "vdi", "vhd", "vhdx"] | None = Field(
        default=None,
        description="Format of the disk. Default: detected. Required for formats other than qcow2 and raw.",
        examples=["qcow2", "vmdk"],
    )
    member: Annotated[str | None, text(r"^[^\n\x00]+$", "write the path of a file in the archive, such as box.img")] = Field(
        default=None,
        description="Path of the disk inside an archive (OVA, box, tar, zip). Default: the disk named in the archive's metadata, "
        "else its only disk.",
        examples=["appliance-disk1.vmdk"],
    )
    kernel: Annotated[str | None, _PATH] = Field(
        default=None,
        description="Kernel to boot, for a disk without a boot loader: a path relative to the spec.",
        examples=["./vmlinuz"],
    )
    initrd: Annotated[str | None, _PATH] = Field(
        default=None, description="Initial RAM disk for `kernel`: a path relative to the spec.", examples=["./initrd.img"]
    )
    cmdline: Annotated[str | None, text(r"^[ -~]+$", "write one line of printable ASCII")] = Field(
        default=None, description="Command line of `kernel`.", examples=["root=/dev/vda console=ttyS0"]
    )
    firmware: Literal["bios", "uefi"] | None = Field(
        default=None,
        description="Firmware that starts the disk's boot loader: `bios` or `uefi`. Default: `bios` if the disk has BIOS boot "
        "code, else `uefi`.",
        examples=["uefi"],
    )
    guest: Literal["cloud-init", "files"] = Field(
        default="cloud-init",
        description="How nodes are configured: by `cloud-init`, or by `files` written to the disk before the first boot.",
        examples=["files"],
    )

    at: dict[Annotated[str, name()], Annotated[str, text(r"^[^\x00-\x1f\x7f]{1,255}$", _AT_ADVICE)]] = Field(
        default_factory=dict,
        description="Images that live at a site, by the site's name: their name or id there. Other sites use the source.",
        examples=[{"jetstream": "Featured-Ubuntu24"}],
        json_schema_extra={"additionalProperties": False},
    )

    @property
    def origin(self) -> str | None:
        """The key of the source; None for an image that only lives at sites."""
        return next((key for key in _ORIGINS if getattr(self, key)), None)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [key for key in _ORIGINS if getattr(self, key)]
        if len(origins) > 1:
            raise value_error("Several sources", f"{listed(origins)} exclude each other; keep one")
        if not origins and not self.at:
            raise value_error(
                "No source",
                "write build: {debian: bookworm}, catalogue: debian-12, source: with a URL or path, or at: {SITE: IMAGE}",
            )
        beside = [
            key for key in ("mirrors", "sha256", "sums", "format", "member", "kernel", "initrd", "cmdline") if getattr(self, key)
        ]
        if beside and not self.source:
            raise value_error("Only with `source`", f"`{beside[0]}` is not valid with `{(*origins, 'at')[0]}`; remove it")
        if (self.initrd or self.cmdline) and not self.kernel:
            raise value_error("Kernel missing", "`initrd` and `cmdline` require `kernel`; add it, or remove them")
        return self

    @model_validator(mode="after")
    def _bytes_are_here(self) -> Self:
        if self.at and self.guest == "files":
            raise value_error(
                "Image is not on this machine",
                "`guest: files` writes to the disk on this machine, where an image that lives at a site never is; use an image "
                "with cloud-init, or remove `at`",
            )
        return self

    @model_validator(mode="after")
    def _one_boot_method(self) -> Self:
        if self.firmware and (self.kernel or self.build):
            direct = "kernel" if self.kernel else "build"
            raise value_error(
                "Conflicting boot methods",
                f"`firmware` starts the boot loader of the disk, and `{direct}` boots a kernel directly; remove one",
            )
        return self

    @model_validator(mode="after")
    def _one_checksum(self) -> Self:
        remote = bool(self.source and is_url(self.source, _HTTP_OR_S3))
        if (self.mirrors or self.sums) and not remote:
            raise value_error("Only with a URL", "`mirrors` and `sums` require a `source` that is a URL; remove them")
        if self.sha256 and self.sums:
            raise value_error("Two checksums", "`sha256` and `sums` both pin the source file; remove one")
        if remote and self.kernel and not self.sha256:
            raise value_error(
                "Checksum missing",
                "a URL with a `kernel` requires `sha256`; download the file, verify it, and write the output of `sha256sum`",
            )
        return self


class InvalidImageSourceError(ValueError):
    """The location is not a valid image source. The message is a sentence without a full stop."""


def image_from_location(location: str, *, directory: bool = False) -> ImageModel:
    """Return the image at a path or URL. ``directory``: it is a Clonezilla image. Raises InvalidImageSourceError."""
    try:
        return ImageModel(clonezilla=location) if directory else ImageModel(source=location)
    except ValidationError as error:
        detail = "; ".join(str(each["ctx"]["detail"]) for each in error.errors())
        raise InvalidImageSourceError(capitalized(detail)) from None

"""Images at Glance: uploaded once per project, under an id that follows from their content.

Of two users of a project who upload one image at the same time, the second gets a conflict, and waits for the first.
An upload that was cut off leaves an image that never becomes active: it is deleted and begun again once nobody refreshes it.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from pragmaspec.errors import SiteError
from pragmaspec.planning.observed import StoredImage
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import IMAGES
from pragmaspec.providers.openstack.marks import stack_tag, stack_users
from pragmaspec.providers.openstack.objects import GlanceImage
from pragmaspec.resources import Outputs, StagedImage

TAG = "pragmaspec"
_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
_CONFLICT, _NOT_FOUND = 409, 404
_GIB = 2**30
_CHUNK = 2**20

REFRESH_S = 15.0
"""Seconds between two signs of life of an upload."""
ABANDONED_S = 60.0
"""Seconds without a sign of life after which an upload is taken to be dead."""
_PAUSE_S = 2.0
_HARDWARE = {"hw_disk_bus": "virtio", "hw_vif_model": "virtio", "hw_rng_model": "virtio"}


class ImagePart(NamedTuple):
    """A file of an image as an image of Glance. ``name``: ``disk``, ``kernel`` or ``initrd``."""

    name: str
    id: str
    format: str
    container: str


def image_id(cloud: Cloud, image: StagedImage) -> str:
    """Return the id of the image that servers are created from."""
    return image.site_image if image.in_place else part_id(cloud, image.digest, "disk")


def part_id(cloud: Cloud, digest: str, part: str) -> str:
    """Return the id of a part: ids are unique in the whole cloud, so that of the project is part of it."""
    return str(uuid5(NAMESPACE_URL, f"pragmaspec:{cloud.project}:{digest}:{part}"))


def list_images(client: Client, tag: str = TAG) -> tuple[GlanceImage, ...]:
    """Return the images that any stack has staged in this project; ``tag``: of one stack."""
    return client.list(IMAGES, tag=tag)


def is_complete(image: GlanceImage) -> bool:
    """True if the image has all of its bytes, and they are those that were sent."""
    return image.status == "active" and image.os_hash_algo in (None, "sha512") and image.os_hash_value in (None, image.sha512)


def stage_image(cloud: Cloud, request: StageRequest) -> Outputs:
    """Put the image into the project, and note that this stack uses it."""
    upload = _Upload(cloud, request)
    if not upload.is_present():
        upload.run()
    upload.note_use()
    return (("id", image_id(cloud, request.image)),)


def release_image(cloud: Cloud, image: StagedImage, lineage: str) -> None:
    """Note that the stack no longer uses the image, and delete it after the last one."""
    if not image.in_place:
        release_digest(cloud, image.digest, lineage)


def release_digest(cloud: Cloud, digest: str, lineage: str) -> None:
    """As :func:`release_image`; ``digest`` may be its first 16 digits."""
    parts = [each for each in list_images(cloud.client) if each.digest and each.digest.startswith(digest)]
    for part in parts:
        tags = [tag for tag in part.tags if tag.startswith(f"{TAG}=")]
        if stack_tag(lineage) in tags:
            cloud.client.remove("image", f"/images/{part.id}/tags/{stack_tag(lineage)}")
        if not [tag for tag in tags if tag != stack_tag(lineage)]:
            cloud.client.remove("image", f"/images/{part.id}")


def stored_images(cloud: Cloud) -> tuple[StoredImage, ...]:
    """Return every image that any stack has staged in the project, complete or not."""
    found: dict[str, list[GlanceImage]] = {}
    for part in list_images(cloud.client):
        if part.digest:
            found.setdefault(part.digest, []).append(part)
    return tuple(
        StoredImage(
            digest=digest,
            size_bytes=sum(part.size or 0 for part in parts),
            users=tuple(sorted({user for part in parts for user in stack_users(part.tags)})),
        )
        for digest, parts in sorted(found.items())
    )


class _Upload:
    """One call of :func:`stage_image`."""

    def __init__(self, cloud: Cloud, request: StageRequest) -> None:
        self._cloud = cloud
        self._client = cloud.client
        self._request = request
        image = request.image
        parts = [ImagePart("disk", part_id(cloud, image.digest, "disk"), image.format, "bare")]
        if image.kernel is not None:
            parts.append(ImagePart("kernel", part_id(cloud, image.digest, "kernel"), "aki", "aki"))
        if image.initrd is not None:
            parts.append(ImagePart("initrd", part_id(cloud, image.digest, "initrd"), "ari", "ari"))
        self._parts = tuple(reversed(parts))  # the disk is last, so that it names only parts that exist
        self._sent = 0

    def is_present(self) -> bool:
        """True if every part is complete."""
        return all(self._is_complete(part) for part in self._parts)

    def run(self) -> None:
        """Upload the missing parts."""
        files = self._request.files
        paths = {"disk": files.disk, "kernel": files.kernel, "initrd": files.initrd}
        for part in self._parts:
            path = paths[part.name]
            if path is None:
                raise TypeError(part.name)
            if self._is_complete(part):
                self._advance(path.stat().st_size)
            else:
                self._put(part, path)

    def note_use(self) -> None:
        """Tag the parts with this stack. Raises SiteError if another stack has deleted one meanwhile."""
        tag = stack_tag(self._request.mark.lineage)
        for part in self._parts:
            found = self._show(part)
            if found is not None and tag not in found.tags:
                self._client.call("image", "PUT", f"/images/{part.id}/tags/{tag}")
                found = self._show(part)
            if found is None:
                raise SiteError(
                    "An object is missing at the site",
                    f"Image {self._request.image.name} was deleted at {self._cloud.title} meanwhile. Apply again.",
                )

    def _show(self, part: ImagePart) -> GlanceImage | None:
        return self._client.show("image", f"/images/{part.id}", "", GlanceImage)

    def _is_complete(self, part: ImagePart) -> bool:
        """True if ``part`` is complete, also by another upload that is waited for. The rest of a dead one is deleted."""
        while (found := self._show(part)) is not None:
            if is_complete(found):
                return True
            if found.status in ("active", "killed", "deactivated") or self._is_abandoned(found):
                self._client.remove("image", f"/images/{part.id}")
                return False
            self._client.clock.sleep(_PAUSE_S)
        return False

    def _is_abandoned(self, found: GlanceImage) -> bool:
        """True if the upload has given no sign of life for a while, by the site's own clock."""
        now, last = self._client.server_time(), found.updated_at
        if not now or not last:
            return True
        passed = parsedate_to_datetime(now) - datetime.fromisoformat(last).astimezone(UTC)
        return passed.total_seconds() > ABANDONED_S

    def _put(self, part: ImagePart, path: Path) -> None:
        body = {**self._properties(part), "pragmaspec_sha512": _sha512(path)}
        try:
            self._client.call("image", "POST", "/images", body=body)
        except CallError as error:
            if error.status == _CONFLICT and self._is_complete(part):
                return
            if error.status != _CONFLICT:
                raise
            self._client.call("image", "POST", "/images", body=body)
        try:
            with _SignsOfLife(self._client, part.id):
                self._client.upload(f"/images/{part.id}/file", _Body(path, self._advance))
            self._check(part)
        except BaseException:
            # Also for an interrupted run: nobody else may take the rest for a live upload.
            self._client.remove("image", f"/images/{part.id}")
            raise

    def _check(self, part: ImagePart) -> None:
        found = self._show(part)
        if found is None or not is_complete(found):
            state = "is gone" if found is None else f"has the status {found.status}, and other bytes than were sent"
            raise SiteError(
                "The image arrived damaged",
                f"Image {self._request.image.name} {state} at {self._cloud.title} after its upload. Apply again.",
            )

    def _properties(self, part: ImagePart) -> dict[str, object]:
        image = self._request.image
        properties: dict[str, object] = {
            "id": part.id,
            "name": image.name if part.name == "disk" else f"{image.name}-{part.name}",
            "disk_format": part.format,
            "container_format": part.container,
            "visibility": "private",
            "tags": [TAG, stack_tag(self._request.mark.lineage)],
            "pragmaspec_sha256": image.digest,
            "pragmaspec_part": part.name,
        }
        if part.name == "disk":
            properties |= {**_HARDWARE, "min_disk": -(-image.virtual_size_bytes // _GIB)}
            if image.kernel is not None:
                properties |= {"kernel_id": part_id(self._cloud, image.digest, "kernel"), "os_command_line": image.cmdline}
            if image.initrd is not None:
                properties |= {"ramdisk_id": part_id(self._cloud, image.digest, "initrd")}
        return properties

    def _advance(self, count: int) -> None:
        self._sent += count
        self._request.progress(self._sent, self._request.image.transfer_bytes)


class _Body:
    """The bytes of a file, for a request with a length; reports each chunk that is read."""

    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        self._path = path
        self._advance = advance

    def __len__(self) -> int:
        return self._path.stat().st_size

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                self._advance(len(chunk))


class _SignsOfLife:
    """Changes the image from time to time during its upload, so that others see that it goes on."""

    def __init__(self, client: Client, image: str) -> None:
        self._client = client
        self._image = image
        self._ended = Event()
        self._thread = Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _refresh(self) -> None:
        count = 0
        while not self._ended.wait(REFRESH_S):
            count += 1
            change = [{"op": "add", "path": "/pragmaspec_alive", "value": str(count)}]
            try:
                self._client.call("image", "PATCH", f"/images/{self._image}", body=change, headers=_PATCH)
            except CallError:
                return


def _sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()

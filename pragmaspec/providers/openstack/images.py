"""Images at Glance: uploaded once per project, and found by the digest in their properties.

Glance never accepts the id of a deleted image again, so ids are chosen at random. Of two users of a project who upload one image
at the same time, the one whose image is older goes on, and the other waits. An upload that was cut off leaves an image that never
becomes active: it is deleted and begun again, that of another stack once nobody refreshes it.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.images.routes import route
from pragmaspec.planning.observed import StoredImage
from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.gibibytes import whole_gib
from pragmaspec.providers.openstack import image_import
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import LOST, Client
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import IMAGES
from pragmaspec.providers.openstack.marks import stack_tag, stack_users
from pragmaspec.providers.openstack.objects import GlanceImage, by_age
from pragmaspec.resources import Outputs, StagedImage

TAG = "pragmaspec"
_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
_NOT_FOUND, _CONFLICT, _SERVER_FAILED = 404, 409, 500
_MISSING = "An object is missing at the site"
_CREATIONS_MAX = 3
_CHUNK = 2**20

REFRESH_S = 15.0
"""Seconds between two signs of life of an upload."""
ABANDONED_S = 60.0
"""Seconds without a sign of life after which an upload is taken to be dead."""
_PAUSE_S = 2.0
_FIRMWARE = "hw_firmware_type"
_HARDWARE = {"hw_disk_bus": "virtio", "hw_vif_model": "virtio", "hw_rng_model": "virtio"}


class ImagePart(NamedTuple):
    """A file of an image as an image of Glance. ``name``: ``disk``, ``kernel`` or ``initrd``."""

    name: str
    format: str
    container: str


def image_id(cloud: Cloud, image: StagedImage, firmware: Firmware) -> str:
    """Return the id of the image, from which servers are then created with ``firmware``. Raises SiteError if it is not staged."""
    if image.in_place:
        return image.site_image
    found = next((each for each in list_parts_of(cloud.client, image.digest, "disk") if is_complete(each)), None)
    if found is None:
        raise SiteError(_MISSING, f"Image {image.name} was deleted at {cloud.title} meanwhile. Apply again.")
    if (found.firmware or "bios") != firmware:
        # Of a spec that names another firmware than the one that was detected: Nova copies the property into each new server.
        change = [{"op": "add", "path": f"/{_FIRMWARE}", "value": firmware}]
        cloud.client.call("image", "PATCH", f"/images/{found.id}", body=change, headers=_PATCH)
    return found.id


def list_parts_of(client: Client, digest: str, part: str) -> list[GlanceImage]:
    """Return the images of one part, complete or not, the oldest first."""
    return by_age(client.list(IMAGES, tag=TAG, pragmaspec_sha256=digest, pragmaspec_part=part))


def list_images(client: Client, tag: str = TAG) -> tuple[GlanceImage, ...]:
    """Return the images that any stack has staged in this project; ``tag``: of one stack."""
    return client.list(IMAGES, tag=tag)


def is_complete(image: GlanceImage) -> bool:
    """True if the image has all of its bytes, and they are those that were sent."""
    return image.status == "active" and image.os_hash_algo in (None, "sha512") and image.os_hash_value in (None, image.sha512)


def stage_image(cloud: Cloud, request: StageRequest) -> Outputs:
    """Put the image into the project, and note that this stack uses it."""
    return (("id", _Staging(cloud, request).run()),)


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
            reach("openstack.image.released")
        if not [tag for tag in tags if tag != stack_tag(lineage)]:
            cloud.client.remove("image", f"/images/{part.id}")
            reach("openstack.image.removed")


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


class _Staging:
    """One call of :func:`stage_image`."""

    def __init__(self, cloud: Cloud, request: StageRequest) -> None:
        self._cloud = cloud
        self._client = cloud.client
        self._request = request
        self._ids: dict[str, str] = {}
        """Ids of the parts that are complete."""
        self._sent = 0

    def run(self) -> str:
        """Upload the missing parts, tag all of them with this stack, and return the id of the disk."""
        image = self._request.image
        parts = [ImagePart("disk", image.format, "bare")]
        if image.kernel is not None:
            parts.append(ImagePart("kernel", "aki", "aki"))
        if image.initrd is not None:
            parts.append(ImagePart("initrd", "ari", "ari"))
        for part in reversed(parts):  # the disk is last, so that it names only parts that exist
            found = self._complete(part) or self._uploaded(part)
            self._ids[part.name] = found.id
            self._note_use(found)
        return self._ids["disk"]

    def _complete(self, part: ImagePart) -> GlanceImage | None:
        """Return the image of ``part`` if it is complete, also by another upload that is waited for. Dead ones are deleted."""
        while True:
            found = self._parts(part)
            whole = next((image for image in found if is_complete(image)), None)
            if whole is not None:
                return whole
            dead = [image for image in found if self._is_dead(image)]
            for image in dead:
                self._client.remove("image", f"/images/{image.id}")
            if len(found) == len(dead):
                return None
            self._client.clock.sleep(_PAUSE_S)

    def _parts(self, part: ImagePart) -> list[GlanceImage]:
        return list_parts_of(self._client, self._request.image.digest, part.name)

    def _note_use(self, image: GlanceImage) -> None:
        """Tag the image with this stack. Raises SiteError if another stack has deleted it meanwhile."""
        tag = stack_tag(self._request.mark.lineage)
        if tag in image.tags:
            return
        try:
            self._client.call("image", "PUT", f"/images/{image.id}/tags/{tag}")
            found = self._show(image.id)
        except CallError as error:
            if error.status != _NOT_FOUND:
                raise
            found = None
        if found is None:
            name = self._request.image.name
            raise SiteError(_MISSING, f"Image {name} was deleted at {self._cloud.title} meanwhile. Apply again.")

    def _show(self, image: str) -> GlanceImage | None:
        return self._client.show("image", f"/images/{image}", "", GlanceImage)

    def _is_dead(self, image: GlanceImage) -> bool:
        return image.status in ("active", "killed", "deactivated") or self._is_abandoned(image)

    def _is_abandoned(self, found: GlanceImage) -> bool:
        """True if the upload has given no sign of life for a while, by the site's own clock, or was one of this stack.

        Only one run of a stack exists at a time, and it stages an image once.
        """
        if stack_tag(self._request.mark.lineage) in found.tags:
            return True
        now, last = self._client.server_time(), found.updated_at
        if not now or not last:
            return True
        passed = parsedate_to_datetime(now) - datetime.fromisoformat(last).astimezone(UTC)
        return passed.total_seconds() > ABANDONED_S

    def _uploaded(self, part: ImagePart) -> GlanceImage:
        """Return the image of ``part`` after its upload; that of another stack that was quicker."""
        files = self._request.files
        path = {"disk": files.disk, "kernel": files.kernel, "initrd": files.initrd}[part.name]
        if path is None:
            raise TypeError(part.name)
        own = str(uuid4())
        try:
            self._create({**self._properties(part), "id": own, "pragmaspec_sha512": _sha512(path)})
            reach("openstack.image.made")
            is_first = next((image.id for image in self._parts(part)), own) == own
            if is_first:
                with _SignsOfLife(self._client, own):
                    if not self._fetched(part, own):
                        self._client.upload(f"/images/{own}/file", _Body(path, self._advance))
                reach("openstack.image.filled")
                return self._checked(own)
        except BaseException:
            # Also for an interrupted run: nobody else may take the rest for a live upload.
            with suppress(CallError, *LOST):
                self._client.remove("image", f"/images/{own}")
            raise
        self._client.remove("image", f"/images/{own}")
        return self._complete(part) or self._uploaded(part)

    def _fetched(self, part: ImagePart, own: str) -> bool:
        """Let the cloud download the disk if the site and the image are such. Returns False if it is to be uploaded."""
        request, settings = self._request, self._cloud.settings
        copy = request.public_copy if part.name == "disk" else None
        if copy is None or route(self._cloud.site, request.image, copy) != "fetch":
            return False
        offered = image_import.is_offered(self._client)
        reason = image_import.download(self._client, own, copy.url) if offered else image_import.NOT_OFFERED
        if reason and settings.fetch == "cloud":
            raise SiteError(
                "The cloud cannot download the image",
                f"{self._cloud.title} cannot download image {request.image.name} from {copy.server}: {reason}. Change the site's "
                "`fetch` to `auto` or `upload`, so that it is uploaded.",
            )
        if not reason:
            self._advance(request.image.size_bytes)
        return not reason

    def _create(self, body: dict[str, object]) -> None:
        """Create the image without its bytes. Repeated if its effect is unknown: the id exists once."""
        for attempt in range(1, _CREATIONS_MAX + 1):
            try:
                self._client.call("image", "POST", "/images", body=body)
            except (CallError, *LOST) as error:
                status = error.status if isinstance(error, CallError) else _SERVER_FAILED
                if attempt > 1 and status == _CONFLICT:
                    return
                if attempt == _CREATIONS_MAX or status < _SERVER_FAILED:
                    raise
            else:
                return

    def _checked(self, own: str) -> GlanceImage:
        found = self._show(own)
        if found is None or not is_complete(found):
            state = "is gone" if found is None else f"has the status {found.status}, and other bytes than were sent"
            raise SiteError(
                "The image arrived damaged",
                f"Image {self._request.image.name} {state} at {self._cloud.title} after its upload. Apply again.",
            )
        return found

    def _properties(self, part: ImagePart) -> dict[str, object]:
        image = self._request.image
        properties: dict[str, object] = {
            "name": image.name if part.name == "disk" else f"{image.name}-{part.name}",
            "disk_format": part.format,
            "container_format": part.container,
            "visibility": "private",
            "tags": [TAG, stack_tag(self._request.mark.lineage)],
            "pragmaspec_sha256": image.digest,
            "pragmaspec_part": part.name,
        }
        if part.name == "disk":
            properties |= {**_HARDWARE, "min_disk": whole_gib(image.virtual_size_bytes)}
            if image.kernel is not None:
                properties |= {"kernel_id": self._ids["kernel"], "os_command_line": image.cmdline}
            if image.initrd is not None:
                properties |= {"ramdisk_id": self._ids["initrd"]}
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
            except (CallError, *LOST):
                return


def _sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()

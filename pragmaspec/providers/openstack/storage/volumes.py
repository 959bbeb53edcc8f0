"""Volumes of Cinder: found by their marks, created, grown and deleted.

Their names are not unique, and a request that was executed twice makes two: a creation looks again afterwards, and deletes all
but the oldest volume of its mark.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.gibibytes import whole_gib
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import LOST
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import VOLUMES
from pragmaspec.providers.openstack.marks import disk_from_metadata, mark_from_metadata, metadata_of
from pragmaspec.providers.openstack.objects import CinderVolume, Identified, by_age
from pragmaspec.providers.openstack.unanswered import LOOKUP_LIMIT_S, created_without_answer
from pragmaspec.resources import Mark

USABLE = frozenset({"available", "in-use"})
_LIMIT_S = 300.0
_PAUSE_S = 0.5
_GROW_ATTACHED = {"OpenStack-API-Version": "volume 3.42"}
"""Of the release Pike (2017): volumes grow while a server has them."""
_REFUSED, _NOT_ACCEPTABLE, _SERVER_FAILED = 400, 406, 500


class MarkedVolume(NamedTuple):
    """A volume with our marks. ``disk`` is its name as a disk that is removed with its node; empty: it outlives its node."""

    volume: CinderVolume
    mark: Mark
    disk: str


class Volumes:
    """The volumes of one site. Thread-safe."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._client = cloud.client

    def marked(self) -> list[MarkedVolume]:
        """Return the volumes with marks of any stack, the oldest first, without those that are deleted."""
        return marked_volumes(self._client.list(VOLUMES)) if self._cloud.has_volumes else []

    def show(self, volume_id: str) -> CinderVolume | None:
        """Return the volume as it is now, or None."""
        return self._client.show("block-storage", f"/volumes/{volume_id}", "volume", CinderVolume)

    def request(self, name: str, size_bytes: int, metadata: Mapping[str, str]) -> CinderVolume:
        """Ask for a volume with ``metadata``, which is its mark, and return it before it can be used."""
        settings = self._cloud.settings
        body: dict[str, object] = {"name": name, "size": whole_gib(size_bytes), "metadata": metadata}
        if settings.volume_type:
            body["volume_type"] = settings.volume_type
        if settings.volume_zone:
            body["availability_zone"] = settings.volume_zone
        try:
            self._client.send("block-storage", "POST", "/volumes", {"volume": body}, "volume", Identified)
        except (CallError, *LOST) as error:
            if isinstance(error, CallError) and error.status < _SERVER_FAILED:
                raise
            created_without_answer(self._cloud, lambda: next(iter(self._with(metadata)), None), f"volume {name}", error)
        reach("openstack.volume.made")
        first, *twins = self._with(metadata)
        for twin in twins:
            self.delete(twin)
        return first

    def made(self, volume: CinderVolume) -> CinderVolume:
        """Return the requested ``volume`` once it can be used. Raises SiteError for one that failed, which is deleted again."""
        found = self.wait(volume, lambda now: now is None or now.status != "creating", "be created")
        if found is None or found.status == "error":
            if found is not None:
                self.delete(found)
            raise SiteError(
                "A volume could not be made",
                f"Volume {volume.name} of {volume.size} GiB failed at {self._cloud.title}, and was deleted again. Its storage "
                "may be full, or lack the type or the zone of volumes. Ask the operators of the cloud, or request less.",
            )
        return found

    def usable(self, volume: CinderVolume) -> CinderVolume:
        """Return ``volume`` once no change of it is going on. Raises SiteError if it cannot be used."""
        found = self.wait(volume, lambda now: now is None or now.status in USABLE or "error" in now.status, "be available")
        if found is None or found.status not in USABLE:
            raise SiteError(
                "A volume cannot be used",
                f"Volume {volume.name} {f'has the status {found.status}' if found is not None else 'is gone'} at "
                f"{self._cloud.title}. Repair it there, then apply again.",
            )
        return found

    def with_op(self, found: MarkedVolume, mark: Mark) -> CinderVolume:
        """Return the volume, which then carries the op of ``mark``, so that a removal of its predecessor does not affect it."""
        if found.mark.op != mark.op:
            body = {"metadata": metadata_of(replace(found.mark, op=mark.op))}
            self._client.call("block-storage", "POST", f"/volumes/{found.volume.id}/metadata", body=body)
        return found.volume

    def grow(self, volume: CinderVolume, size_bytes: int) -> None:
        """Grow ``volume``, also while a server has it. Large enough: no effect."""
        wanted = whole_gib(size_bytes)
        if volume.size >= wanted:
            return
        volume = self.usable(volume)
        headers = _GROW_ATTACHED if volume.servers else None
        body = {"os-extend": {"new_size": wanted}}
        lost = False
        try:
            self._client.call("block-storage", "POST", f"/volumes/{volume.id}/action", body=body, headers=headers)
        except (CallError, *LOST) as error:
            lost = not isinstance(error, CallError) or error.status >= _SERVER_FAILED
            if isinstance(error, CallError) and error.status == _NOT_ACCEPTABLE:
                raise self._cannot_grow(volume) from error
            now = self.show(volume.id)
            if not lost and (now is None or (now.size < wanted and now.status != "extending")):
                raise
        reach("openstack.volume.grown")
        # A request without an answer may arrive later, or never.
        limit_s = LOOKUP_LIMIT_S if lost else _LIMIT_S
        found = self.wait(volume, lambda now: _is_grown(now, wanted), f"have {wanted} GiB", limit_s)
        if found is None or found.size < wanted:
            raise self._cannot_grow(volume)

    def delete(self, volume: CinderVolume) -> None:
        """Delete ``volume`` once no server has it. Absent: no error."""
        free = self.free(volume)
        if free is None:
            return
        self._client.remove("block-storage", f"/volumes/{volume.id}")
        reach("openstack.volume.removed")
        left = self.wait(volume, lambda now: now is None or now.status == "error_deleting", "be deleted")
        if left is not None:
            raise SiteError(
                "A volume could not be removed",
                f"Volume {volume.name} has the status {left.status} at {self._cloud.title}. Ask the operators of the cloud.",
            )

    def free(self, volume: CinderVolume) -> CinderVolume | None:
        """Return ``volume`` once no server has it; None if it is gone."""
        return self.wait(volume, lambda now: now is None or not _is_held(now), "be detached")

    def wait(
        self, volume: CinderVolume, over: Callable[[CinderVolume | None], bool], expected: str, limit_s: float = _LIMIT_S
    ) -> CinderVolume | None:
        """Return the volume once ``over`` holds. Raises SiteError after ``limit_s`` seconds without ``expected``."""
        clock = self._client.clock
        began = clock.monotonic()
        while True:
            found = self.show(volume.id)
            if over(found):
                return found
            if clock.monotonic() - began >= limit_s:
                state = f"has the status {found.status}" if found is not None else "is gone"
                raise SiteError(
                    "The site took too long",
                    f"Volume {volume.name} {state} after {limit_s:.0f} s at {self._cloud.title}, and should {expected}. Check "
                    "the cloud, then apply again.",
                )
            clock.sleep(_PAUSE_S)

    def _with(self, metadata: Mapping[str, str]) -> list[CinderVolume]:
        """Return the volumes with exactly this mark, the oldest first."""
        wanted = (mark_from_metadata(metadata), disk_from_metadata(metadata))
        return [each.volume for each in self.marked() if (each.mark, each.disk) == wanted]

    def _cannot_grow(self, volume: CinderVolume) -> SiteError:
        used = " Shut its node down first, if the cloud cannot grow volumes in use." if volume.servers else ""
        return SiteError(
            "A volume could not be grown",
            f"Volume {volume.name} of {volume.size} GiB did not grow at {self._cloud.title}.{used} Plan again.",
        )


def marked_volumes(found: Iterable[CinderVolume]) -> list[MarkedVolume]:
    """Return the volumes with marks of any stack, the oldest first, without those that are deleted."""
    marks = ((volume, mark_from_metadata(volume.metadata)) for volume in by_age(found) if volume.status != "deleting")
    return [MarkedVolume(volume, mark, disk_from_metadata(volume.metadata)) for volume, mark in marks if mark is not None]


def _is_grown(now: CinderVolume | None, wanted: int) -> bool:
    return now is None or "error" in now.status or (now.size >= wanted and now.status in USABLE)


def _is_held(now: CinderVolume) -> bool:
    """True if a server has the volume, gets it, or gives it back."""
    return bool(now.attachments) or now.status in ("in-use", "reserved", "attaching", "detaching", "creating", "extending")

"""Image transfers between sites: an image is uploaded to one site of a peer group, and the others fetch it from a peer.

A site serves an image to one peer at a time, and serves it while still receiving it. So for any number of sites, staging takes
one upload and little more than one transfer between peers. No call waits for a call that has not begun, so the number of
parallel calls per site does not matter.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Literal, NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.events import Cancelled
from pragmaspec.errors import PragmaspecError
from pragmaspec.planning.images.routes import PeerGroupImage, peer_groups, sites_holding
from pragmaspec.planning.plan import Plan
from pragmaspec.providers.base import Offer, Provider
from pragmaspec.resources import Mark, Outputs, StagedImage
from pragmaspec.state_model import State

PEER_WAIT_LIMIT_S = 3600.0
"""Maximum time that a site waits for its peers before the image is uploaded to it."""

_MAX_FAILURES = 2
"""After this many sites with failed peer transfers, sites no longer wait for an upload to another one: transfers work nowhere."""

TransferOutcome = Literal["received", "failed", "not-offered"]
"""The end of a transfer: the site has the image, or not; or the peer could not serve it."""


class SharingStep(NamedTuple):
    """The next step of a site for an image: have it uploaded, fetch it from the peer in ``sources``, or wait for ``sources``.

    ``incomplete``: the peer is still fetching the image itself.
    """

    kind: Literal["upload", "fetch", "wait"]
    sources: tuple[str, ...] = ()
    incomplete: bool = False


class ImageDistribution(NamedTuple):
    """The distribution of one image in its peer group, as names of sites. Immutable.

    Sites that hold the image or are fetching it can serve it, unless they are ``serving`` it already or are ``unable`` to, as an
    earlier attempt showed. ``uploading``: sites to which it is being uploaded. ``unreached``: sites to which a peer served the
    image, but where it did not arrive.
    """

    holding: frozenset[str] = frozenset()
    serving: frozenset[str] = frozenset()
    fetching: frozenset[str] = frozenset()
    uploading: frozenset[str] = frozenset()
    unable: frozenset[str] = frozenset()
    unreached: frozenset[str] = frozenset()

    def next_step(self, site: str) -> SharingStep:
        """Return the next step of ``site``."""
        if site in self.holding or site in self.unreached:
            return SharingStep("upload")
        if free := sorted(self.holding - self.serving - self.unable):
            return SharingStep("fetch", (free[0],))
        if free := sorted(self.fetching - self.serving - self.unable):
            return SharingStep("fetch", (free[0],), incomplete=True)
        waits_for_uploads = len(self.unable | self.unreached) < _MAX_FAILURES
        if busy := sorted(self.serving | self.fetching | (self.uploading if waits_for_uploads else frozenset())):
            return SharingStep("wait", tuple(busy))
        return SharingStep("upload")

    def begin(self, site: str, sources: tuple[str, ...]) -> "ImageDistribution":
        """Return the distribution after ``site`` began to receive the image, from ``sources`` or by an upload."""
        if not sources:
            return self._replace(uploading=self.uploading | {site})
        return self._replace(fetching=self.fetching | {site}, serving=self.serving.union(sources))

    def end(self, site: str, sources: tuple[str, ...], outcome: TransferOutcome) -> "ImageDistribution":
        """Return the distribution after the transfer of :meth:`begin` ended."""
        # A site whose source has failed in turn is not marked as unreached.
        unreached = outcome == "failed" and bool((self.holding | self.fetching).intersection(sources))
        return ImageDistribution(
            holding=self.holding | {site} if outcome == "received" else self.holding,
            serving=self.serving.difference(sources),
            fetching=self.fetching - {site},
            uploading=self.uploading - {site},
            unable=self.unable.union(sources) if outcome == "not-offered" else self.unable,
            unreached=self.unreached | {site} if unreached else self.unreached,
        )


class ImageSharing:
    """Coordinates the stage calls of one apply. Thread-safe."""

    def __init__(self, plan: Plan, state: State, providers: Mapping[str, Provider]) -> None:
        peers = {site: provider.abilities.peer_images for site, provider in providers.items()}
        self._servers = {site: peer for site, peer in peers.items() if peer is not None}
        self._groups = {site: group for site, group in peer_groups(plan).items() if site in self._servers}
        self._distributions = {
            image: ImageDistribution(sites & self._groups.keys()) for image, sites in sites_holding(plan, state).items()
        }
        self._lineage = state.lineage
        self._changed = threading.Condition()
        self._cancelled = False

    def cancel(self) -> None:
        """Start no more transfers: every :meth:`stage` that waits for a peer, or that needs another attempt, raises Cancelled."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def stage(
        self,
        image: StagedImage,
        upload: Callable[[], Outputs],
        fetch: Callable[[Offer], Outputs],
        report: Callable[[str], None],
    ) -> Outputs:
        """Stage ``image`` at its site: by ``fetch`` if a peer serves it, else by ``upload``, whose errors are raised."""
        group = self._groups.get(image.site)
        if group is None:
            return upload()
        while True:
            with self._transfer((group, image.digest), image.site, report) as transfer:
                outputs = self._fetch(transfer, image, fetch, report) if transfer.step.sources else upload()
                if outputs is not None:
                    transfer.outcome = "received"
                    return outputs

    def _fetch(
        self, transfer: "_Transfer", image: StagedImage, fetch: Callable[[Offer], Outputs], report: Callable[[str], None]
    ) -> Outputs | None:
        """Fetch the image from a peer; None after a failure, which is not an error: there are other sources."""
        source = transfer.step.sources[0]
        served = replace(image, site=source)
        incomplete = Mark(lineage=self._lineage, address=served.address) if transfer.step.incomplete else None
        report(f"fetching from {source}")
        with ExitStack() as offers:
            try:
                offer = offers.enter_context(self._servers[source].offer(served, incomplete))
            except PragmaspecError as error:
                transfer.outcome = "not-offered"
                report(f"cannot fetch from {source}: {error.first_line}")
                return None
            try:
                return fetch(offer)
            except PragmaspecError as error:
                report(f"cannot fetch from {source}: {error.first_line}")
                return None

    @contextmanager
    def _transfer(self, image: PeerGroupImage, site: str, report: Callable[[str], None]) -> Iterator["_Transfer"]:
        """A transfer to ``site``, as soon as there is a source. Raises Cancelled."""
        transfer = _Transfer(self._await_step(image, site, report))
        try:
            yield transfer
        finally:
            with self._changed:
                self._distributions[image] = self._distributions[image].end(site, transfer.step.sources, transfer.outcome)
                self._changed.notify_all()

    def _await_step(self, image: PeerGroupImage, site: str, report: Callable[[str], None]) -> SharingStep:
        """Begin the first step of ``site`` other than to wait, and return it."""
        until = time.monotonic() + PEER_WAIT_LIMIT_S
        with self._changed:
            while (step := self._distribution(image).next_step(site)).kind == "wait" and not self._cancelled:
                report(f"waiting for the transfer to {', '.join(step.sources)}")
                if not self._changed.wait(until - time.monotonic()):
                    step = SharingStep("upload")
                    break
            if self._cancelled:
                raise Cancelled
            self._distributions[image] = self._distribution(image).begin(site, step.sources)
        return step

    def _distribution(self, image: PeerGroupImage) -> ImageDistribution:
        return self._distributions.get(image, ImageDistribution())


class _Transfer:
    """One transfer of an image to a site."""

    def __init__(self, step: SharingStep) -> None:
        self.step = step
        self.outcome: TransferOutcome = "failed"

"""Sites that hand images to each other: one is brought an image from outside, the others take it from whoever has it.

Who has an image hands it to one site at a time, and who takes it hands it on while it comes. So of any number of sites the last
has it after one transfer from outside and little more than one between neighbours. Nothing here waits for a call that has not
begun, so no lane is too narrow for it.
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
"""How long a site waits for its neighbours at most; then it is brought the image like the first."""

_FAILURES = 2
"""After so many sites with which it did not work, nobody waits for those that are being brought it: it works nowhere there."""

Say = Callable[[str], None]
TransferOutcome = Literal["got", "not-got", "not-offered"]
"""What comes of a turn: the site has the image; it has not; or the neighbour that should have handed it out cannot."""


class SharingStep(NamedTuple):
    """What a site is to do about an image: be brought it, take it from the one in ``sources``, or wait for them.

    ``coming``: the one in ``sources`` is only taking it itself.
    """

    kind: Literal["bring", "take", "wait"]
    sources: tuple[str, ...] = ()
    coming: bool = False


class ImageDistribution(NamedTuple):
    """How far one image has spread in its neighbourhood, by names of sites. Immutable.

    Those in ``have`` and ``taking`` (from a neighbour) can hand it out, except those in ``giving``, which are busy with that, and
    those in ``mute``, which have shown that they cannot. Those in ``bringing`` are being brought it from outside. To those in
    ``alone`` a neighbour handed it, and it did not arrive there.
    """

    have: frozenset[str] = frozenset()
    giving: frozenset[str] = frozenset()
    taking: frozenset[str] = frozenset()
    bringing: frozenset[str] = frozenset()
    mute: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()

    def move(self, site: str) -> SharingStep:
        """What ``site`` is to do now."""
        if site in self.have or site in self.alone:
            return SharingStep("bring")
        if free := sorted(self.have - self.giving - self.mute):
            return SharingStep("take", (free[0],))
        if free := sorted(self.taking - self.giving - self.mute):
            return SharingStep("take", (free[0],), coming=True)
        patient = len(self.mute | self.alone) < _FAILURES
        if busy := sorted(self.giving | self.taking | (self.bringing if patient else frozenset())):
            return SharingStep("wait", tuple(busy))
        return SharingStep("bring")

    def begun(self, site: str, sources: tuple[str, ...]) -> "ImageDistribution":
        """``site`` begins to get the image, from ``sources`` or from outside."""
        if not sources:
            return self._replace(bringing=self.bringing | {site})
        return self._replace(taking=self.taking | {site}, giving=self.giving.union(sources))

    def ended(self, site: str, sources: tuple[str, ...], came: TransferOutcome) -> "ImageDistribution":
        """What :meth:`begun` told of has ended."""
        # One whose own source failed is not to blame for what did not come through it.
        in_vain = came == "not-got" and bool((self.have | self.taking).intersection(sources))
        return ImageDistribution(
            have=self.have | {site} if came == "got" else self.have,
            giving=self.giving.difference(sources),
            taking=self.taking - {site},
            bringing=self.bringing - {site},
            mute=self.mute.union(sources) if came == "not-offered" else self.mute,
            alone=self.alone | {site} if in_vain else self.alone,
        )


class ImageSharing:
    """Leads the stage calls of one apply. Every method may be called from several threads at once."""

    def __init__(self, plan: Plan, state: State, providers: Mapping[str, Provider]) -> None:
        peers = {site: provider.abilities.peer_images for site, provider in providers.items()}
        self._givers = {site: peer for site, peer in peers.items() if peer is not None}
        self._words = {site: word for site, word in peer_groups(plan).items() if site in self._givers}
        self._spread = {
            shared: ImageDistribution(have & self._words.keys()) for shared, have in sites_holding(plan, state).items()
        }
        self._lineage = state.lineage
        self._changed = threading.Condition()
        self._cut = False

    def cut(self) -> None:
        """Begin no more transfers: every :meth:`stage` that waits for a neighbour, or for another way, raises Cut."""
        with self._changed:
            self._cut = True
            self._changed.notify_all()

    def stage(self, image: StagedImage, bring: Callable[[], Outputs], take: Callable[[Offer], Outputs], say: Say) -> Outputs:
        """Have the image get to its site: by ``take`` if a neighbour hands it out, else by ``bring``, whose errors are raised."""
        word = self._words.get(image.site)
        if word is None:
            return bring()
        while True:
            with self._turn((word, image.digest), image.site, say) as turn:
                outputs = self._taken(turn, image, take, say) if turn.move.sources else bring()
                if outputs is not None:
                    turn.came = "got"
                    return outputs

    def _taken(self, turn: "_Turn", image: StagedImage, take: Callable[[Offer], Outputs], say: Say) -> Outputs | None:
        """What came of taking the image from a neighbour; None when it did not come, which is no error: there are other ways."""
        source = turn.move.sources[0]
        theirs = replace(image, site=source)
        coming = Mark(lineage=self._lineage, address=theirs.address) if turn.move.coming else None
        say(f"taking it from {source}")
        with ExitStack() as standing:
            try:
                offer = standing.enter_context(self._givers[source].offer(theirs, coming))
            except PragmaspecError as error:
                turn.came = "not-offered"
                say(f"not from {source}: {error.first_line}")
                return None
            try:
                return take(offer)
            except PragmaspecError as error:
                say(f"not from {source}: {error.first_line}")
                return None

    @contextmanager
    def _turn(self, shared: PeerGroupImage, site: str, say: Say) -> Iterator["_Turn"]:
        """The turn of ``site``: begins when it is to take the image, or to be brought it. Raises Cut."""
        turn = _Turn(self._awaited(shared, site, say))
        try:
            yield turn
        finally:
            with self._changed:
                self._spread[shared] = self._spread[shared].ended(site, turn.move.sources, turn.came)
                self._changed.notify_all()

    def _awaited(self, shared: PeerGroupImage, site: str, say: Say) -> SharingStep:
        """What ``site`` is to do when it need not wait any more; it counts as begun."""
        until = time.monotonic() + PEER_WAIT_LIMIT_S
        with self._changed:
            while (move := self._spread.get(shared, ImageDistribution()).move(site)).kind == "wait" and not self._cut:
                say(f"waiting for {', '.join(move.sources)} to have it")
                if not self._changed.wait(until - time.monotonic()):
                    move = SharingStep("bring")
                    break
            if self._cut:
                raise Cancelled
            self._spread[shared] = self._spread.get(shared, ImageDistribution()).begun(site, move.sources)
        return move


class _Turn:
    """From whom a site takes an image, and what comes of it."""

    def __init__(self, move: SharingStep) -> None:
        self.move = move
        self.came: TransferOutcome = "not-got"

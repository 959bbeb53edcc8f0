"""The information that a new node gets about itself and its cluster before its first boot, in the way that its site declares."""

from pragmaspec.delivery import Delivery
from pragmaspec.engine.target_state import TargetState
from pragmaspec.errors import SiteError
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey
from pragmaspec.resources import Mark, Node
from pragmaspec.typing import override


class FirstInformation(Frozen, frozen=True):
    """A seed, user-data, or neither, for the request of one boot. Contains private keys."""

    seed: bytes = b""
    user_data: bytes = b""
    left_out: tuple[str, ...] = ()
    """Paths of the files that did not fit, and that have to follow over ssh before the node counts as ready."""

    @override
    def __repr__(self) -> str:
        sizes = f"seed={len(self.seed)} bytes, user_data={len(self.user_data)} bytes"
        return f"FirstInformation({sizes}, left_out={self.left_out!r})"

    @override
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("seed", len(self.seed)), ("user_data", len(self.user_data)), ("left_out", self.left_out)]


NOTHING = FirstInformation()


def first_information(node: Node, mark: Mark, delivery: Delivery, target: TargetState, stack_key: StackKey) -> FirstInformation:
    """The information that a new node gets at its first boot, built from the spec and the state that the apply aims for.

    Its user-data is larger than the site allows if not even the essential part fits. Raises SpecError for a value that cannot be
    represented.
    """
    cluster, settings = target.cluster(node), target.settings(node)
    if delivery.seed:
        # Takes 70 ms to import.
        from pragmaspec.guest.cloud_init.seed import seed_iso  # noqa: PLC0415

        return FirstInformation(seed=seed_iso(node, cluster, settings, stack_key, mark))
    if delivery.user_data_limit is None or not node.cloud_init:
        return NOTHING
    from pragmaspec.guest.cloud_init.limited import limited_user_data  # noqa: PLC0415 - few sites need it

    found = limited_user_data(node, cluster, settings, stack_key, delivery.user_data_limit)
    return FirstInformation(user_data=found.content, left_out=found.left_out)


def size_error(information: FirstInformation, node: Node, delivery: Delivery) -> SiteError | None:
    """Return the error of user-data that is larger than the site of ``node`` allows, or None."""
    limit, size = delivery.user_data_limit, len(information.user_data)
    if limit is None or size <= limit:
        return None
    return SiteError(
        "User-data too large for the site",
        f"{node.name} needs user-data of {size:,} bytes, and site {node.site} allows {limit:,}. Shorten the node's `user_data`, "
        "or move large files to the image.",
    )

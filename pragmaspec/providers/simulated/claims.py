"""Claims on what a site has: what an allocation takes and who stands in its way, and who uses an image."""

from msgspec.structs import replace

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.providers.simulated.objects import Grant, GrantedNetwork, describe_owner
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Allocation, Mark


def new_grant(wanted: Allocation, mark: Mark, before: Grant | None, made: int) -> Grant:
    """What the site holds for ``wanted`` once it is granted, in the place of ``before``; ``made`` numbers a new one."""
    return Grant(
        op=mark.op or (before.op if before else ""),
        made=before.made if before else made,
        address=mark.address,
        lineage=mark.lineage,
        networks=tuple(GrantedNetwork(name=network.name, cidr=network.cidr, vlan=network.vlan) for network in wanted.networks),
        public=tuple(public.address for public in wanted.public),
    )


def claim(world: World, grant: Grant) -> None:
    """Put ``grant`` in the place of what its address held. All or nothing: SiteConflictError names every holder in the way."""
    problems = [
        Problem(
            summary=f"A {what} is taken",
            detail=f"{grant.address} wants {what} {value}, which {describe_owner(holder)} holds.",
        )
        for what, value, holder in _claims(world, grant)
        if holder is not None and holder.key != grant.key
    ]
    if problems:
        raise SiteConflictError.of(problems)
    if world.grants.get(grant.key) != grant:
        world.put(grant)


def release_grant(world: World, mark: Mark) -> None:
    """Give back what the allocation of ``mark`` holds, unless another creation has claimed it anew."""
    grant = world.grant(mark.lineage, mark.address)
    if grant is not None and (not (grant.op and mark.op) or grant.op == mark.op):
        world.take(grant.key)


def release_image(world: World, digest: str, lineage: str) -> None:
    """The stack ``lineage`` no longer uses the image, which goes with its last user."""
    image = world.image(digest)
    if image is None or (image.users and lineage not in image.users):
        return
    left = tuple(user for user in image.users if user != lineage)
    if left:
        world.put(replace(image, users=left))
    else:
        world.take(image.key)


def _claims(world: World, grant: Grant) -> list[tuple[str, str, Grant | None]]:
    vlans = [network.vlan for network in grant.networks if network.vlan is not None]
    return [("VLAN", str(vlan), world.vlans.get(vlan)) for vlan in vlans] + [
        ("public address", address, world.addresses.get(address)) for address in grant.public
    ]

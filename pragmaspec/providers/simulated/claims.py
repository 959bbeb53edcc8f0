"""Claims at a simulated site: networks and addresses of allocations, and references to images."""

from msgspec.structs import replace

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.providers.simulated.objects import Grant, GrantedNetwork, describe_owner
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Allocation, Mark, StagedImage
from pragmaspec.text import capitalized


def new_grant(wanted: Allocation, mark: Mark, before: Grant | None, made: int) -> Grant:
    """The grant for ``wanted`` in the place of ``before``; ``made`` is the number of a new one."""
    return Grant(
        op=mark.op or (before.op if before else ""),
        made=before.made if before else made,
        address=mark.address,
        lineage=mark.lineage,
        networks=tuple(
            GrantedNetwork(name=network.name, cidr=network.cidr, vlan=network.vlan, bridge=network.bridge)
            for network in wanted.networks
        ),
        public=tuple(public.address for public in wanted.public),
    )


def claim(world: World, grant: Grant) -> None:
    """Put ``grant`` in the place of the one at its address. All or nothing: SiteConflictError names all conflicting holders."""
    problems = [
        Problem(
            summary=f"{capitalized(kind)} in use",
            detail=f"{grant.address} wants {kind} {value}, which {describe_owner(holder)} holds.",
        )
        for kind, value, holder in _claims(world, grant)
        if holder is not None and holder.key != grant.key
    ]
    if problems:
        raise SiteConflictError.of(problems)
    if world.grants.get(grant.key) != grant:
        world.put(grant)


def release_grant(world: World, mark: Mark) -> None:
    """Remove the grant of ``mark``, unless another creation has claimed it anew."""
    grant = world.grant(mark.lineage, mark.address)
    if grant is not None and (not (grant.op and mark.op) or grant.op == mark.op):
        world.remove(grant.key)


def release_image(world: World, staged: StagedImage, lineage: str) -> None:
    """Remove the reference of stack ``lineage`` to ``staged``. An image of the site itself stays, and has none."""
    image = world.image(staged.digest)
    if not staged.site_image or (image is not None and lineage in image.users):
        release_digest(world, staged.digest, lineage)


def release_digest(world: World, digest: str, lineage: str) -> None:
    """Remove the reference of stack ``lineage`` to the image, and the image with its last one."""
    image = world.image(digest)
    if image is None or (image.users and lineage not in image.users):
        return
    left = tuple(user for user in image.users if user != lineage)
    if left:
        world.put(replace(image, users=left))
    else:
        world.remove(image.key)


def _claims(world: World, grant: Grant) -> list[tuple[str, str, Grant | None]]:
    vlans = [network.vlan for network in grant.networks if network.vlan is not None]
    return [("VLAN", str(vlan), world.vlans.get(vlan)) for vlan in vlans] + [
        ("public address", address, world.addresses.get(address)) for address in grant.public
    ]

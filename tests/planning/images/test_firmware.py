"""Unbootable images are refused at plan time."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.images.firmware import unbootable_image_warnings
from pragmaspec.planning.observed import Inventory
from pragmaspec.planning.planner import sites_needing_inventory
from pragmaspec.planning.wanted import WantedImage
from pragmaspec.site import SimulatedSite
from pragmaspec.state_model import State
from tests.planning.builders import EMPTY, IDENTITY, ROOMY, applied, applied_state, cluster, image, line, nodes, planned, wanted

UEFI = replace(image(), firmware="uefi", archs=("x86_64",), where=line(3))
BARE = replace(ROOMY, firmware=("bios",))
BOTH = replace(ROOMY, firmware=("bios", "uefi"))


def refused(of: WantedImage, inventory: Inventory = ROOMY, state: State = EMPTY) -> list[str]:
    try:
        planned(wanted(cluster(computes=2), images=(of,)), state, inventories={"lab": inventory})
    except PlanError as error:
        return [f"{problem.where and problem.where.line}: {problem.summary}: {problem.detail}" for problem in error.problems]
    return []


def test_missing_uefi_firmware_is_reported_with_packages() -> None:
    (message,) = refused(UEFI, BARE)
    assert message == (
        "3: The site has no UEFI firmware: Image debian-12 boots with UEFI, and site lab has no UEFI firmware for x86_64. "
        "Install it on the host: ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora, Rocky). Then restart its libvirt daemon."
    )
    (message,) = refused(replace(UEFI, archs=()), replace(BARE, identity=replace(IDENTITY, arch="s390x")))
    assert "the UEFI firmware of QEMU" in message


def test_missing_uefi_firmware_of_a_simulated_site_cannot_be_installed() -> None:
    spec = wanted(cluster(), images=(UEFI,), sites=(SimulatedSite(name="lab"),))
    with pytest.raises(PlanError) as caught:
        planned(spec, inventories={"lab": BARE})
    (problem,) = caught.value.problems
    assert problem.detail == (
        "Image debian-12 boots with UEFI, and site lab has no UEFI firmware. Use an image that boots with BIOS, or another site."
    )


@pytest.mark.parametrize("inventory", [BOTH, ROOMY], ids=["it has some", "it cannot tell"])
def test_unreported_uefi_firmware_is_assumed(inventory: Inventory) -> None:
    assert refused(UEFI, inventory) == []


def test_image_for_another_architecture_is_refused() -> None:
    (message,) = refused(replace(UEFI, archs=("aarch64", "riscv64")), BOTH)
    assert message.startswith("3: Image for another architecture: Image debian-12 boots only on aarch64 or riscv64")


def test_unbootable_image_is_refused_without_an_inventory() -> None:
    broken = replace(UEFI, firmware="bios", archs=(), unbootable="no boot code in its first sector and no loader")
    with pytest.raises(PlanError, match="Image debian-12 has no boot code in its first sector and no loader"):
        planned(wanted(cluster(), images=(broken,)), inventories={})


def test_blank_image_is_a_warning_at_real_sites() -> None:
    lacking = "no boot code in its first sector and no EFI system partition"
    blank = replace(image(), where=line(3))
    spec = wanted(cluster(), images=(blank, image("other")))
    (warning,) = unbootable_image_warnings(planned(spec).actions, spec, lambda image: lacking)
    assert (warning.severity, warning.where) == ("warning", line(3))
    assert "no boot code in its first sector and no EFI system partition. BIOS needs boot code" in warning.detail
    assert unbootable_image_warnings(planned(spec).actions, spec, lambda image: "") == ()
    assert (
        unbootable_image_warnings(planned(spec, applied_state(cluster(), images=(blank,))).actions, spec, lambda image: lacking)
        == ()
    )
    pretended = wanted(cluster(), images=(blank,), sites=(SimulatedSite(name="lab"),))
    assert unbootable_image_warnings(planned(pretended).actions, pretended, lambda image: lacking) == ()


REFUSING = replace(BOTH, refused=(("kernel", "whose machines have loaders"), ("uefi", "where BIOS boots images")))


def test_images_that_a_site_cannot_take_are_refused() -> None:
    nothing = replace(BOTH, refused=(("upload", "whose service takes no disks"), *REFUSING.refused))
    (message,) = refused(UEFI, nothing)
    assert message == (
        "3: The site cannot take an image: Image debian-12 cannot be put at site lab, whose service takes no disks. Name an "
        "image of the site instead: `at: {lab: NAME}`."
    )
    (message,) = refused(UEFI, REFUSING)
    assert "debian-12, which boots with UEFI, cannot be put at site lab, where BIOS boots images." in message
    (message,) = refused(replace(UEFI, firmware="bios", kernel=UEFI.disk), REFUSING)
    assert "debian-12, which has a kernel beside its disk, cannot be put at site lab, whose machines have loaders." in message
    assert refused(replace(UEFI, firmware="bios"), REFUSING) == []
    assert refused(replace(UEFI, site="lab", site_image="an-id"), nothing) == []
    there = replace(nothing, images=(UEFI.digest,))
    (message,) = refused(UEFI, there)
    assert "debian-12, which boots with UEFI, cannot be put at site lab" in message
    assert refused(replace(UEFI, firmware="bios"), there) == []


def test_running_and_stopped_nodes_are_not_checked() -> None:
    state = applied_state(cluster(computes=2), images=(UEFI,))
    assert refused(replace(UEFI, unbootable="nothing"), BARE, state) == []
    spec = wanted(cluster(running=False), images=(replace(UEFI, unbootable="nothing"),))
    assert planned(spec).actions


def test_nodes_to_start_are_checked() -> None:
    off = applied(planned(wanted(cluster(running=False), images=(UEFI,)), applied_state(cluster(), images=(UEFI,))), EMPTY)
    assert refused(UEFI, BARE, off)


def test_firmware_change_reboots_and_needs_the_inventory() -> None:
    state = applied_state(cluster(computes=1), images=(replace(UEFI, firmware="bios", archs=()),))
    spec = wanted(cluster(computes=1), images=(UEFI,))
    plan = planned(spec, state)
    assert {(each.verb, each.impact) for each in plan.actions} == {("shutdown", "reboot"), ("boot", "reboot")}
    assert sites_needing_inventory(spec, state) == {"lab"}
    assert sites_needing_inventory(spec, applied(plan, state)) == frozenset()


def test_images_of_one_disk_can_differ_in_firmware() -> None:
    other = replace(image("by-bios", digest_of="debian-12"), digest=UEFI.digest)
    spec = wanted(cluster(computes=1), cluster("other", frontend=nodes(1, of="by-bios"), computes=0), images=(UEFI, other))
    firmware = {node.cluster: node.firmware for node in applied(planned(spec), EMPTY).nodes()}
    assert firmware == {"hello": "uefi", "other": "bios"}

"""Names of objects identify their owner, and are never parsed as another kind."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.providers.libvirt import names
from pragmaspec.resources import Blob, Mark, StagedImage

LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True)
CLUSTER = LABEL | st.sampled_from(("a", "a-b", "a-compute", "a-frontend"))
GROUP = LABEL | st.sampled_from(("gpu", "b", "b-compute", "b-frontend"))
CLUSTER_NODE = st.builds(
    lambda cluster, index: (cluster, f"{cluster}-frontend" if index is None else f"{cluster}-compute-{index}"),
    LABEL,
    st.none() | st.integers(0, 9999),
)
MARK = st.builds(
    lambda lineage, address, generation: Mark(lineage=str(lineage), address=address, generation=generation),
    st.uuids(version=4),
    LABEL,
    st.integers(0, 99),
)


@given(LABEL, MARK)
def test_names_of_a_node_are_parsed(node, mark):
    assert names.parse_domain(names.domain_name(node, mark)) == (node, mark.short, names.cluster_of(node))
    meant = names.NodeVolume(node, mark.short, mark.generation, names.cluster_of(node))
    assert names.parse_disk(names.disk_volume(node, mark)) == meant
    marker = names.filling_marker(node, mark)
    for name in (names.disk_volume(node, mark), names.seed_volume(node, mark), names.console_volume(node, mark), marker):
        assert names.parse_node_volume(name) == meant
    assert names.parse_disk(marker) is None
    assert names.parse_node_volume(names.console_volume(node, mark) + ".0") == meant


@given(LABEL, MARK)
def test_only_disks_are_parsed_as_disks(node, mark):
    for name in (names.domain_name(node, mark), names.seed_volume(node, mark), names.console_volume(node, mark)):
        assert names.parse_disk(name) is None


@given(CLUSTER_NODE)
def test_the_cluster_is_parsed_from_a_nodes_name(cluster_and_node):
    cluster, node = cluster_and_node
    assert names.cluster_of(node) == cluster
    found = names.parse_domain(f"{node}.3f9a1c2b")
    assert found is not None
    assert names.node_address("lab", found) == f"lab/{cluster}/node/{node}"
    assert names.allocation_address("lab", found) == f"lab/{cluster}/allocation"


@given(CLUSTER, GROUP, st.integers(0, 20), st.integers(0, 3))
def test_the_cluster_of_a_node_of_a_group_is_parsed_from_its_files(cluster, group, index, generation):
    address = f"lab/{cluster}/node/{cluster}-{group}-{index}"
    mark = Mark(lineage="3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607", address=address, generation=generation)
    node = address.rpartition("/")[2]
    for found in (
        names.parse_domain(names.domain_name(node, mark)),
        names.parse_disk(names.disk_volume(node, mark)),
        names.parse_node_volume(names.seed_volume(node, mark)),
    ):
        assert found is not None
        assert names.node_address("lab", found) == address


def test_an_unknown_name_is_its_own_cluster():
    assert names.cluster_of("login") == "login"


@given(st.binary(min_size=32, max_size=32), MARK, MARK)
def test_a_listing_shows_complete_images_and_their_users(digest, mark, other):
    image = digest.hex()
    volumes = {names.complete_marker(image), names.reference_marker(image, mark), names.staging_marker(image, other)}
    assert names.complete_images(volumes) == (image,)
    assert names.complete_images_of(volumes, mark.lineage) == (image,)
    assert names.reference_markers(volumes, image) == {names.reference_marker(image, mark)}
    assert names.staging_markers(volumes, image) == {names.staging_marker(image, other)}
    assert names.complete_images_of(volumes - {names.complete_marker(image)}, mark.lineage) == ()
    assert all(names.is_marker(name) and not names.is_image_part(name) for name in volumes)


def test_image_volumes_contain_the_parts_of_the_image():
    disk = Blob(sha256="0" * 64, size_bytes=1)
    image = StagedImage(site="lab", digest="ab" * 32, name="tiny", format="raw", disk=disk, virtual_size_bytes=1)
    assert names.image_volumes(image) == {"disk": "pragmaspec-abababababababab-disk.raw"}
    whole = StagedImage(
        site="lab", digest="ab" * 32, name="tiny", format="qcow2", disk=disk, virtual_size_bytes=1, kernel=disk, initrd=disk
    )
    parts = names.image_volumes(whole)
    assert list(parts) == ["disk", "kernel", "initrd"]
    assert all(names.is_image_part(name) and not names.is_marker(name) for name in parts.values())
    assert [name for name in parts.values() if names.is_kernel(name)] == [parts["kernel"]]


@given(st.integers(1, 4094), st.ip_addresses(v=4))
def test_names_of_claims_are_parsed(vlan, address):
    assert names.parse_vlan(names.vlan_network(vlan)) == vlan
    assert names.parse_address(names.address_network(str(address))) == str(address)
    assert names.parse_vlan(names.address_network(str(address))) is None


def test_networks_without_a_vlan_have_the_clusters_name():
    mark = Mark(lineage=str(UUID(int=1)), address="lab/hello/allocation")
    assert names.unnumbered_network("hello", "private", mark) == "hello.00000000"
    assert names.unnumbered_network("hello", "storage", mark) == "hello-storage.00000000"


def test_names_are_those_of_the_creation():
    lineage = "3f9a1c2b-5d0e-4c1a-9b7e-0123456789ab"
    node = Mark(lineage=lineage, address="lab/earlier/node/earlier-compute-3", generation=2)
    allocation = Mark(lineage=lineage, address="lab/earlier/allocation")
    assert names.domain_name("hello-compute-3", node) == f"earlier-compute-3.{lineage[:8]}"
    assert names.disk_volume("hello-compute-3", node) == f"earlier-compute-3.{lineage[:8]}.g2.qcow2"
    assert names.domain_name("hello-frontend", allocation) == f"earlier-frontend.{lineage[:8]}"
    assert names.unnumbered_network("hello", "private", allocation) == f"earlier.{lineage[:8]}"
    assert names.unnumbered_network("hello", "storage", allocation) == f"earlier-storage.{lineage[:8]}"

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.guest.cloud_init.documents import user_data_text
from pragmaspec.guest.cloud_init.seed import seed_files
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import contract_files, identity_files, live_files, login_files
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.keys import StackKey, cluster_key, host_key, operator_key
from pragmaspec.guest.setup.users import USERS, USERS_TABLE, ClusterUser
from pragmaspec.resources import Disk, Mark

PRIVATE = "PRIVATE KEY"


def by_path(files: tuple[GuestFile, ...]) -> dict[str, GuestFile]:
    found = {file.path: file for file in files}
    assert len(found) == len(files)
    return found


def test_the_contract_contains_no_secrets(cluster: GuestCluster, stack_key: StackKey) -> None:
    secrets = [cluster_key(stack_key, "lab", "hello"), operator_key(stack_key)]
    secrets += [host_key(stack_key, Mark(lineage=cluster.lineage, address=node.address)) for node in cluster.nodes]
    for node in cluster.nodes:
        for file in live_files(node, cluster, stack_key):
            assert PRIVATE not in file.content
            for pair in secrets:
                assert not any(line in file.content for line in pair.private.splitlines()[3:-1])


def test_secret_files_are_readable_by_root_only(cluster: GuestCluster, stack_key: StackKey) -> None:
    node = cluster.frontend
    files = (
        *identity_files(node, cluster, stack_key),
        *login_files(cluster, stack_key),
        *contract_files(node, cluster, stack_key),
    )
    secret = {file.path for file in files if PRIVATE in file.content}
    assert secret == {"/etc/ssh/ssh_host_ed25519_key", "/root/.ssh/id_ed25519"}
    for file in files:
        if file.path in secret:
            assert file.mode == 0o600
        assert file.mode in (0o600, 0o644)


def test_the_repr_of_a_file_omits_its_content(cluster: GuestCluster, stack_key: StackKey) -> None:
    for file in login_files(cluster, stack_key):
        assert repr(file) == f"GuestFile({file.path!r}, mode={file.mode:#o}, {len(file.content)} characters)"
        assert file.content not in str(file.__rich_repr__())


def test_live_files_contain_no_private_keys(cluster: GuestCluster, stack_key: StackKey) -> None:
    assert set(by_path(live_files(cluster.nodes[1], cluster, stack_key))) == {
        "/etc/hostname",
        "/etc/hosts",
        "/etc/pragmaspec/cluster.json",
        "/etc/pragmaspec/disks",
        "/etc/pragmaspec/machinefile",
        "/etc/pragmaspec/users",
        "/etc/ssh/ssh_known_hosts",
        "/root/.ssh/authorized_keys",
        "/root/vc-out.xml",
    }


def test_a_cluster_with_users_gets_their_script(cluster: GuestCluster, stack_key: StackKey) -> None:
    users = (
        ClusterUser(name="grace", uid=2002, ssh_keys=("ssh-ed25519 BBBB",)),
        ClusterUser(name="ada", uid=2001, ssh_keys=("ssh-ed25519 AAAA\nssh-rsa CCCC\n",), sudo=True, login_shell="/bin/zsh"),
    )
    mixed = replace(cluster, users=users)
    table = "user ada 2001 sudo /bin/zsh\nkey ssh-ed25519 AAAA\nkey ssh-rsa CCCC\nuser grace 2002 - -\nkey ssh-ed25519 BBBB\n"
    for found in (by_path(live_files(mixed.nodes[1], mixed, stack_key)), by_path(seed_files(mixed.nodes[1], mixed, stack_key))):
        assert (found[USERS_TABLE].content, found[USERS_TABLE].mode) == (table, 0o600)
        assert found[USERS.path].mode == 0o755
    assert USERS.path in user_data_text(mixed.nodes[1], mixed, GuestSettings(), stack_key).partition("runcmd:")[2]


def test_a_node_with_disks_gets_their_script(cluster: GuestCluster, stack_key: StackKey) -> None:
    disks = (Disk(name="data", size_bytes=2**30, mount="/data/x"), Disk(name="raw", size_bytes=2**30, format="none"))
    node = replace(cluster.nodes[1], disks=(*disks, Disk(name="outer", size_bytes=2**30, format="xfs", mount="/data")))
    found = by_path(live_files(node, cluster, stack_key))
    assert found["/etc/pragmaspec/disks"].content == "raw none -\nouter xfs /data\ndata ext4 /data/x\n"
    assert found["/usr/local/sbin/pragmaspec-disks"].mode == 0o755
    assert "/etc/systemd/system/pragmaspec-disks.service" in found
    without = by_path(live_files(cluster.nodes[1], cluster, stack_key))
    assert without["/etc/pragmaspec/disks"].content == "", "the table of removed disks is emptied"


def test_authorized_keys_has_no_duplicates_and_no_empty_lines(
    cluster_of: Callable[..., GuestCluster], stack_key: StackKey
) -> None:
    cluster = cluster_of(1, ssh_keys=("ssh-rsa A me\r\n\nssh-rsa B you\n", "ssh-rsa A me", "  "))
    content = by_path(login_files(cluster, stack_key))["/root/.ssh/authorized_keys"].content
    assert content.splitlines() == [
        "ssh-rsa A me",
        "ssh-rsa B you",
        f"{operator_key(stack_key).public} pragmaspec-operator",
        f"{cluster_key(stack_key, 'lab', 'hello').public} pragmaspec-cluster",
    ]


def test_shared_texts_are_generated_once_per_cluster(cluster_of: Callable[[int], GuestCluster], stack_key: StackKey) -> None:
    cluster = cluster_of(50)
    first, second = (by_path(contract_files(node, cluster, stack_key)) for node in cluster.nodes[3:5])
    for path in ("/etc/hosts", "/etc/ssh/ssh_known_hosts", "/etc/pragmaspec/machinefile"):
        assert first[path].content is second[path].content
    other = by_path(contract_files(cluster.nodes[3], cluster, StackKey(b"x" * 32)))
    assert other["/etc/ssh/ssh_known_hosts"] != first["/etc/ssh/ssh_known_hosts"]


def test_openssh_finds_every_peer_in_known_hosts(cluster: GuestCluster, stack_key: StackKey, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(by_path(contract_files(cluster.frontend, cluster, stack_key))["/etc/ssh/ssh_known_hosts"].content)
    for node in cluster.nodes:
        public = host_key(stack_key, Mark(lineage=cluster.lineage, address=node.address)).public
        for name in (node.name, f"{node.name}.local", node.nics[0].address):
            done = subprocess.run(["ssh-keygen", "-F", name, "-f", file], capture_output=True, text=True, check=True)
            assert done.stdout.count(public) == 1


def test_cluster_json_describes_node_and_members(cluster: GuestCluster, stack_key: StackKey) -> None:
    document = json.loads(by_path(contract_files(cluster.nodes[2], cluster, stack_key))["/etc/pragmaspec/cluster.json"].content)
    assert sorted(document) == ["cluster", "keys", "networks", "node", "nodes", "version"]
    assert document["node"]["role"] == "compute"
    assert document["node"]["interfaces"][0]["gateway"] == "10.22.0.1"
    assert document["cluster"]["spec_sha256"] == "cd" * 32
    assert document["nodes"][0]["addresses"] == {"private": "10.22.0.1", "public": "192.0.2.10"}


def test_keys_are_derived_from_the_original_address(cluster_of: Callable[..., GuestCluster], stack_key: StackKey) -> None:
    made = cluster_of(1)
    origins = {node.address: f"lab/earlier/node/{node.name.replace('hello', 'earlier')}" for node in made.nodes}
    moved = cluster_of(1, origins={**origins, "lab/hello/allocation": "lab/earlier/allocation"})
    node = moved.nodes[1]
    earlier = Mark(lineage=moved.lineage, address="lab/earlier/node/earlier-compute-0")
    assert by_path(identity_files(node, moved, stack_key))["/etc/ssh/ssh_host_ed25519_key"].content == (
        host_key(stack_key, earlier).private
    )
    assert host_key(stack_key, earlier).public in by_path(live_files(node, moved, stack_key))["/etc/ssh/ssh_known_hosts"].content
    private = by_path(login_files(moved, stack_key))["/root/.ssh/id_ed25519"].content
    assert private == cluster_key(stack_key, "lab", "earlier").private
    assert by_path(live_files(node, moved, stack_key))["/etc/hostname"].content == "hello-compute-0\n"

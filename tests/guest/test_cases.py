"""Golden directories: ``case.json`` describes a cluster, and the other files are those of its nodes."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pragmaspec.frozen import Frozen
from pragmaspec.guest.cloud_init.documents import meta_data_text, network_config_text, user_data_text
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import CONTRACT_JSON, VC_OUT, contract_files, identity_files, login_files
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.keys import StackKey
from pragmaspec.resources import Mark, Node

CASES = Path(__file__).parents[1] / "cases" / "guest"
PRIVATE = re.compile(r"(-----BEGIN OPENSSH PRIVATE KEY-----\n).*?( *)(-----END OPENSSH PRIVATE KEY-----)", re.DOTALL)


class Case(Frozen, frozen=True):
    about: str
    cluster: GuestCluster
    settings: GuestSettings = GuestSettings()


@pytest.mark.parametrize("directory", sorted(CASES.iterdir()), ids=lambda directory: directory.name)
def test_files_of_all_nodes(directory: Path, stack_key: StackKey, golden: Callable[[Path, str], None]) -> None:
    case = msgspec.json.decode((directory / "case.json").read_bytes(), type=Case)
    for node in case.cluster.nodes:
        files = {file.path: file for file in given(node, case.cluster, stack_key)}
        own = {Path(path).name: files[path].content for path in (CONTRACT_JSON, VC_OUT, "/etc/pragmaspec/interfaces")}
        own["user-data"] = user_data_text(node, case.cluster, case.settings, stack_key)
        own["network-config"] = network_config_text(node, case.cluster)
        own["meta-data"] = meta_data_text(node, Mark(lineage=case.cluster.lineage, address=node.address))
        for name, content in own.items():
            golden(directory / node.name / name, without_private_keys(content))
        for path in ("/etc/hosts", "/etc/pragmaspec/machinefile", "/etc/ssh/ssh_known_hosts", "/root/.ssh/authorized_keys"):
            golden(directory / "every-node" / Path(path).name, files[path].content)


def given(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    return (
        *contract_files(node, cluster, stack_key),
        *login_files(cluster, stack_key),
        *identity_files(node, cluster, stack_key),
    )


def without_private_keys(text: str) -> str:
    """Remove private keys, so that secret scanners do not report them, although they give no access."""
    return PRIVATE.sub(r"\1\2(left out)\n\2\3", text)

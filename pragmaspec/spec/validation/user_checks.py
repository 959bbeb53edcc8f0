"""Checks of the users of a cluster: their numbers, and users that cloud-init would create too."""

from collections.abc import Iterator, Mapping
from typing import Any

from pragmaspec.spec.fields.user_name import uid_of
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import ClusterModel
from pragmaspec.spec.yaml.tree import TreePath


def user_findings(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    """Yield a finding per user of the cluster at ``at`` whose uid another one has."""
    owners: dict[int, str] = {}
    for name, user in cluster.users.items():
        uid = user.uid or uid_of(name)
        owner = owners.setdefault(uid, name)
        if owner != name:
            path: TreePath = (*at, "users", name, *(("uid",) if user.uid else ()))
            yield Finding(
                path, "Uid used twice", f"User `{owner}` has the uid {uid}, too. Write another `uid`.", at_key=not user.uid
            )


def cloud_init_user_findings(at: TreePath, cluster: ClusterModel, complete: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding per user of the cluster at ``at`` that its user-data creates, too."""
    entries = complete.get("users")
    created = {entry.get("name") for entry in entries if isinstance(entry, dict)} if isinstance(entries, list) else set()
    for name in cluster.users:
        if name in created:
            detail = f"The user-data of this cluster creates a user `{name}`, too. Remove one of them."
            yield Finding((*at, "users", name), "User defined twice", detail, at_key=True)

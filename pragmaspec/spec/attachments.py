"""Reads the files a spec refers to: public keys and cloud-init user-data."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, cast

from pragmaspec.errors import Problem, SpecError
from pragmaspec.spec.cloud_init.values import typed_values
from pragmaspec.spec.fields.default_keys import (
    default_agent_keys,
    default_key_files,
    has_default_key_pair,
    private_key_without_public,
)
from pragmaspec.spec.fields.public_key import NotAKeyError, PublicKey, holds_private_key, public_key, public_keys
from pragmaspec.spec.fields.ssh_keys import is_key_file
from pragmaspec.spec.fields.user_data import format_problem, merged, size_problem, wrong_types
from pragmaspec.spec.files import TrackedReader, resolve_path
from pragmaspec.spec.findings import Finding, listed, overlaps
from pragmaspec.spec.models.cluster import ClusterModel
from pragmaspec.spec.models.roles import node_entries
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX
from pragmaspec.spec.yaml.tree import Document, TreePath, plain_data

UserDataKey = tuple[str, ...]
"""The cluster, and the path of the mapping inside it, unless the user-data is for all nodes."""


class Attachments:
    """Reads the files of one spec, and collects the ``problems``."""

    def __init__(self, document: Document, directory: Path, home: Path, files: TrackedReader, agent: str = "") -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._directory = directory
        self._home = home
        self._files = files
        self._agent = agent
        self._own_keys: tuple[PublicKey, ...] | None = None
        self._without_keys: list[str] = []

    def ssh_keys(self, name: str, cluster: ClusterModel) -> tuple[str, ...]:
        """Return the public key lines of a cluster, without duplicates."""
        if cluster.ssh_keys is None:
            keys = self._default_keys()
        else:
            keys = tuple(
                key
                for position, entry in enumerate(cluster.ssh_keys)
                for key in self._keys(entry, ("clusters", name, "ssh_keys", position))
            )
        lines: dict[tuple[str, ...], str] = {}
        for key in keys:
            lines.setdefault(key.identity, key.line)
        if not lines:
            self._without_keys.append(name)
        return tuple(lines.values())

    def user_keys(self, name: str, cluster: ClusterModel) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
        """Yield the public key lines of each user of a cluster, without duplicates."""
        for user, model in cluster.users.items():
            lines: dict[tuple[str, ...], str] = {}
            for position, entry in enumerate(model.ssh_keys):
                for key in self._keys(entry, ("clusters", name, "users", user, "ssh_keys", position)):
                    lines.setdefault(key.identity, key.line)
            yield (name, user), tuple(lines.values())

    def missing_keys(self, without_guests: Collection[str]) -> Iterator[Problem]:
        """Yield one warning for all clusters without any key, except ``without_guests``, whose nodes accept no logins."""
        clusters = [name for name in self._without_keys if name not in without_guests]
        if clusters:
            path: TreePath = ("clusters", clusters[0])
            advice = "Create one with `ssh-keygen -t ed25519`, or write `ssh_keys`."
            private = private_key_without_public(self._home)
            if private:
                name = quote(str(private))
                advice = f"Extract that of your private key with `ssh-keygen -y -f {name} > {name}.pub`, or write `ssh_keys`."
            detail = f"No public key is authorized in {listed(clusters)}, so only `pragmaspec ssh` can log in. {advice}"
            yield Finding(path, "No public key", detail, at_key=True, severity="warning").problem(self._document)

    def user_data(self, name: str, cluster: ClusterModel) -> Iterator[tuple[UserDataKey, dict[str, Any]]]:
        """Yield the user-data of a cluster, its sets of nodes, and its single nodes."""
        entries = {entry.path: entry for entry in node_entries(cluster)}
        values = {(): cluster.user_data, **{path: entry.nodes.user_data for path, entry in entries.items()}}
        found = {path: self._user_data(value, ("clusters", name, *path, "user_data")) for path, value in values.items() if value}
        data = {path: document.data for path, document in found.items()}
        complete = {path: complete_user_data(data, entry.set.path, path) for path, entry in entries.items()}
        for path, document in found.items():
            affected = tuple(each for each, entry in entries.items() if path in ((), entry.set.path, each))
            self._check(document, tuple(complete[each] for each in affected))
            yield (name, *path), document.data

    def _default_keys(self) -> tuple[PublicKey, ...]:
        if self._own_keys is None:
            own: list[PublicKey] = []
            for file in default_key_files(self._home, self._files):
                if file.unreadable:
                    detail = f"{file.path} is one of your default keys and cannot be read: {file.unreadable}. It is ignored."
                    self._warn(("clusters",), "Key not readable", detail)
                else:
                    advice = "Repair the file, or write `ssh_keys` to use other keys."
                    own += self._parsed(file.data, str(file.path), ("clusters",), advice)
            agent = _plain_keys(default_agent_keys(self._home, self._agent, self._files))
            if own and not has_default_key_pair(self._home) and not {key.data for key in own} & {key.data for key in agent}:
                detail = (
                    "None of the public keys in ~/.ssh has its private key next to it or in an ssh agent. "
                    "If you cannot log in with them from here, write `ssh_keys`."
                )
                self._warn(("clusters",), "No private key", detail)
            self._own_keys = (*own, *agent)
        return self._own_keys

    def _keys(self, entry: str, path: TreePath) -> tuple[PublicKey, ...]:
        if not is_key_file(entry):
            found = tuple(key for _, key in public_keys(entry) if isinstance(key, PublicKey))
            self._warn_of_certificates(found, path)
            return found
        data = self._read(entry, path)
        return () if data is None else self._parsed(data, entry, path, "Write the path of a public key.")

    def _parsed(self, data: bytes, file: str, path: TreePath, advice: str) -> tuple[PublicKey, ...]:
        text = _text_of_keys(data)
        if text is None:
            self._report(path, "Not an ssh key", f"{file} is not a text file. {advice}")
            return ()
        if holds_private_key(text):
            detail = f"{file} contains a private key, which is a secret and must not be copied to nodes. {advice}"
            self._report(path, "Private key", detail)
            return ()
        found = []
        for line, key in public_keys(text):
            if isinstance(key, PublicKey):
                found.append(key)
                continue
            reason = str(key).replace("FILE", quote(file))
            detail = f"Line {line} of {file} is not a valid ssh public key{f': {reason}' if reason else ''}. {advice}"
            self._report(path, "Not an ssh key", detail)
            return ()
        if not found:
            self._warn(path, "No key in the file", f"{file} contains no key. {advice}")
        self._warn_of_certificates(found, path)
        return tuple(found)

    def _warn_of_certificates(self, keys: Iterable[PublicKey], path: TreePath) -> None:
        if any(key.certificate for key in keys):
            detail = (
                "ssh servers ignore certificates in authorized_keys, so this entry has no effect. Write the key that it "
                "certifies, or `cert-authority` and the key of its authority."
            )
            self._warn(path, "Certificate", detail)

    def _user_data(self, value: dict[str, Any] | str, path: TreePath) -> "_UserData":
        nothing = _UserData(document=self._document, path=path)
        if isinstance(value, dict):
            return self._typed(value, self._document, path)
        data = self._read(value, path)
        if data is None:
            return nothing
        reason = format_problem(data)
        if reason:
            self._report(path, "Not a cloud-config", f"{value} {reason}")
            return nothing
        try:
            document = read_document(data, value)
        except SpecError as error:
            self.problems += error.problems
            return nothing
        return self._typed(cast("dict[str, Any]", plain_data(document.root)), document, ())

    def _typed(self, data: dict[str, Any], document: Document, path: TreePath) -> "_UserData":
        findings: list[Finding] = []
        found = {key: typed_values(value, (*path, key), findings) for key, value in data.items()}
        for key, expected in wrong_types(found):
            findings.append(Finding((*path, key), f"Not {expected}", f"cloud-init expects {expected} in `{key}`. Write one."))
        self.problems += [finding.problem(document) for finding in findings]
        return _UserData(document=document, path=path, data=found, invalid=tuple(finding.path for finding in findings))

    def _check(self, user_data: "_UserData", complete: tuple[dict[str, Any], ...]) -> None:
        """Validate a document with cloud-init's schema, except for values that are already reported."""
        if user_data.data and not size_problem(user_data.data):
            from pragmaspec.spec.cloud_init.findings import user_data_findings  # noqa: PLC0415 - loads the schema's validator

            for finding in user_data_findings(user_data.data, user_data.path, complete):
                if not overlaps(finding.path, user_data.invalid):
                    self.problems.append(finding.problem(user_data.document))

    def _read(self, entry: str, path: TreePath) -> bytes | None:
        file = resolve_path(entry, self._directory, self._home)
        try:
            return self._files.read(file)
        except FileNotFoundError:
            self._report(path, "File not found", f"There is no file {file}. Paths are relative to the spec.")
        except OSError as error:
            self._report(path, "File not readable", f"{file} cannot be read: {error.strerror}.")
        return None

    def _warn(self, path: TreePath, summary: str, detail: str) -> None:
        self.problems.append(Finding(path, summary, detail, at_key=True, severity="warning").problem(self._document))

    def _report(self, path: TreePath, summary: str, detail: str) -> None:
        self.problems.append(Finding(path, summary, detail).problem(self._document))


def complete_user_data(
    data: Mapping[tuple[str, ...], Mapping[str, Any]], of_set: tuple[str, ...], own: tuple[str, ...]
) -> dict[str, Any]:
    """Return the user-data of nodes, merged from that of the cluster, of their set, and of a single node; keys as in ``data``."""
    found: dict[str, Any] = {}
    for path in dict.fromkeys(((), of_set, own)):
        found = merged(found, data.get(path, {}))
    return found


def _plain_keys(lines: Iterable[str]) -> tuple[PublicKey, ...]:
    """Return the keys among ``lines`` of an agent that are not certificates."""
    found = []
    for line in lines:
        with suppress(NotAKeyError):
            found.append(public_key(line))
    return tuple(key for key in found if not key.certificate and not key.options)


def _text_of_keys(data: bytes) -> str | None:
    """Return the text of a key file, whose comments may have any encoding; None for UTF-16 and binary files."""
    if len(data) > FILE_SIZE_MAX or b"\0" in data:
        return None
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


@dataclass(frozen=True)
class _UserData:
    """User-data, and its position in a document. ``invalid`` are the paths of values that are already reported."""

    document: Document
    path: TreePath
    data: dict[str, Any] = field(default_factory=dict)
    invalid: tuple[TreePath, ...] = ()

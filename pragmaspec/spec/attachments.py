"""The files a spec points to: public keys and cloud-init user-data."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pragmaspec.errors import Problem, SpecError
from pragmaspec.spec.characters import text_of
from pragmaspec.spec.files import FilesRead, located
from pragmaspec.spec.findings import Finding, overlaps
from pragmaspec.spec.models import ClusterModel
from pragmaspec.spec.reading import read_document
from pragmaspec.spec.ssh_keys import OWN_KEYS, is_path, keys_in
from pragmaspec.spec.tree import Document, data_of
from pragmaspec.spec.tree import Path as TreePath
from pragmaspec.spec.typed import typed
from pragmaspec.spec.user_data import HEADER, merged, too_much, wrong_kinds

Place = tuple[str, ...]


class Attachments:
    """Reads what one spec points to; ``problems`` grows while it does."""

    def __init__(self, document: Document, directory: Path, home: Path, files: FilesRead) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._directory = directory
        self._home = home
        self._files = files
        self._own: tuple[str, ...] | None = None

    def ssh_keys(self, name: str, cluster: ClusterModel) -> tuple[str, ...]:
        """The public key lines of a cluster, each key once."""
        if cluster.ssh_keys is None:
            lines = self._own_keys()
        else:
            lines = tuple(
                line
                for position, entry in enumerate(cluster.ssh_keys)
                for line in self._keys(entry, ("clusters", name, "ssh_keys", position))
            )
        once: dict[tuple[str, ...], str] = {}
        for line in lines:
            once.setdefault(tuple(line.split()[:2]), line)
        return tuple(once.values())

    def user_data(self, name: str, cluster: ClusterModel) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The documents of a cluster and of its roles, by place."""
        values = {"": cluster.user_data, "frontend": cluster.frontend.user_data, "computes": cluster.computes.user_data}
        found = {
            role: self._user_data(value, ("clusters", name, *((role,) if role else ()), "user_data"))
            for role, value in values.items()
            if value
        }
        common = found[""].data if "" in found else {}
        wholes = {role: merged(common, found[role].data) if role in found else common for role in ("frontend", "computes")}
        for role, document in found.items():
            self._check(document, (wholes[role],) if role else tuple(wholes.values()))
            yield (name, role) if role else (name,), document.data

    def _own_keys(self) -> tuple[str, ...]:
        if self._own is None:
            own: list[str] = []
            for file in (self._home / ".ssh" / name for name in OWN_KEYS):
                data = self._files.read_if_there(file)
                if data is not None:
                    own += self._parsed(data, str(file), ("clusters",), "Write `ssh_keys` to name others, or repair it.")
            self._own = tuple(own)
        return self._own

    def _keys(self, entry: str, path: TreePath) -> tuple[str, ...]:
        if not is_path(entry):
            return (entry,)
        data = self._read(entry, path)
        return () if data is None else self._parsed(data, entry, path, "Write the path of a public key.")

    def _parsed(self, data: bytes, file: str, path: TreePath, advice: str) -> tuple[str, ...]:
        if b"PRIVATE KEY" in data:
            detail = f"{file} holds a private key, which is a secret and belongs on no node. {advice}"
            self._report(path, "A private key", detail)
            return ()
        try:
            return keys_in(text_of(data, file))
        except ValueError as error:
            detail = f"Line {error.args[0]} of {file} is no public key that ssh knows. {advice}"
        except SpecError:
            detail = f"{file} is not a text file. {advice}"
        self._report(path, "Not an ssh key", detail)
        return ()

    def _user_data(self, value: dict[str, Any] | str, path: TreePath) -> "_UserData":
        nothing = _UserData(document=self._document, path=path)
        if isinstance(value, dict):
            return self._typed(value, self._document, path)
        data = self._read(value, path)
        if data is None:
            return nothing
        if not data.startswith(HEADER.encode()):
            detail = f"{value} does not begin with the line {HEADER}. Write scripts under its `runcmd`."
            self._report(path, "Not a cloud-config", detail)
            return nothing
        try:
            document = read_document(data, value)
        except SpecError as error:
            self.problems += error.problems
            return nothing
        return self._typed(cast("dict[str, Any]", data_of(document.root)), document, ())

    def _typed(self, data: dict[str, Any], document: Document, path: TreePath) -> "_UserData":
        findings: list[Finding] = []
        found = {key: typed(value, (*path, key), findings) for key, value in data.items()}
        for key, wanted in wrong_kinds(found):
            findings.append(Finding((*path, key), f"Not {wanted}", f"cloud-init wants {wanted} in `{key}`. Write one."))
        self.problems += [finding.problem(document) for finding in findings]
        return _UserData(document=document, path=path, data=found, wrong=tuple(finding.path for finding in findings))

    def _check(self, user_data: "_UserData", wholes: tuple[dict[str, Any], ...]) -> None:
        """Hold a document against cloud-init's schema, but for values that are known to be wrong."""
        if user_data.data and not too_much(user_data.data):
            from pragmaspec.spec.user_data_findings import user_data_findings  # noqa: PLC0415 - loads the schema's validator

            for finding in user_data_findings(user_data.data, user_data.path, wholes):
                if not overlaps(finding.path, user_data.wrong):
                    self.problems.append(finding.problem(user_data.document))

    def _read(self, entry: str, path: TreePath) -> bytes | None:
        file = located(entry, self._directory, self._home)
        try:
            return self._files.read(file)
        except FileNotFoundError:
            self._report(path, "File not found", f"There is no {file}. Paths are relative to the file they stand in.")
        except OSError as error:
            self._report(path, "File not readable", f"{file} cannot be read: {error.strerror}.")
        return None

    def _report(self, path: TreePath, summary: str, detail: str) -> None:
        self.problems.append(Finding(path, summary, detail).problem(self._document))


@dataclass(frozen=True)
class _UserData:
    """User-data as read: its values, and where in which document they are. ``wrong`` are values that are reported already."""

    document: Document
    path: TreePath
    data: dict[str, Any] = field(default_factory=dict)
    wrong: tuple[TreePath, ...] = ()

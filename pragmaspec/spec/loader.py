"""YAML → a sound spec, or every reason why not."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pragmaspec import paths
from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.files import NotRegularFileError
from pragmaspec.spec.attachments import Attachments
from pragmaspec.spec.fields.default_keys import agent_socket
from pragmaspec.spec.fields.user_data import merged, size_problem
from pragmaspec.spec.files import TrackedReader
from pragmaspec.spec.findings import Finding, overlaps
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.models.cluster import ClusterModel, SiteModel, SitesModel, SpecModel
from pragmaspec.spec.models.image import ImageModel
from pragmaspec.spec.validation.cross_checks import ANY_SITE, cross_findings
from pragmaspec.spec.validation.translate import validate
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.tree import Document, TreePath
from pragmaspec.spec.yaml.tree import Mapping as TreeMapping

SITES_FILE = "sites.yaml"
_FILES_ONLY = "A spec is a file, not a stream: its state and all it points to are found from where it is. Name a file."

__all__ = ["SITES_FILE", "LoadedSpec", "load_spec", "user_config_directory"]


ImageCheck = Callable[[str, ImageModel, Path], Iterable[Finding]]
"""What else is wrong with the image of a name, in a spec of a directory."""


def load_spec(
    path: Path,
    user_config: Path | None = None,
    home: Path | None = None,
    image_check: ImageCheck | None = None,
    agent: str | None = None,
    need: frozenset[str] | None = None,
) -> LoadedSpec:
    """The spec in the file ``path``, with the sites, keys and user-data it refers to.

    Sites are looked for in the spec, in ``sites.yaml`` beside it, and in ``sites.yaml`` of the directory ``user_config``
    (default: :func:`user_config_directory`); the nearest wins. ``home`` is where ``~`` and the user's own keys are,
    ``agent`` the socket of their ssh agent (default: ``$SSH_AUTH_SOCK``).
    ``image_check`` tells more of images than their words do. ``need``: only these clusters are of interest, so that keys and
    user-data of others may be missing; None: all are. Raises SpecError with every problem found.
    """
    home = home or paths.home()
    user_config = user_config or user_config_directory(home)
    loading = _Loading(path, home, agent_socket() if agent is None else agent, need)
    loading.read_spec()
    for directory in (path.parent, user_config):
        loading.read_sites(directory)
    if image_check is not None:
        loading.check_images(image_check)
    return loading.finished()


def user_config_directory(home: Path) -> Path:
    """``$XDG_CONFIG_HOME/pragmaspec``, else ``~/.config/pragmaspec`` (XDG Base Directory Specification 0.8)."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else home / ".config") / "pragmaspec"


@dataclass
class _Loading:
    """What is known so far of one spec."""

    path: Path
    home: Path
    agent: str
    need: frozenset[str] | None = None
    files: TrackedReader = field(default_factory=TrackedReader)
    problems: list[Problem] = field(default_factory=list)
    wrong: list[TreePath] = field(default_factory=list)
    document: Document | None = None
    spec: SpecModel | None = None
    sites: dict[str, SiteModel] = field(default_factory=dict)
    site_documents: dict[str, Document] = field(default_factory=dict)
    site_directories: dict[str, Path] = field(default_factory=dict)

    def read_spec(self) -> None:
        """Read the spec itself."""
        try:
            data = self.files.read(self.path)
        except FileNotFoundError:
            advice = _FILES_ONLY if str(self.path) == "-" else "`pragmaspec init` writes one."
            raise SpecError("No spec", f"There is no {self.path}. {advice}") from None
        except OSError as error:
            detail = f"{self.path} cannot be read: {error.strerror}." + (
                f" {_FILES_ONLY}" if isinstance(error, NotRegularFileError) else ""
            )
            raise SpecError("Spec not readable", detail) from None
        try:
            self.document = _without_own_keys(read_document(data, str(self.path)))
        except SpecError as error:
            self.problems += error.problems
            return
        if set(self.document.root.items) == {"sites"}:
            detail = (
                "This has `sites` alone, as a file of sites for several specs has, and is checked with each of them. "
                "Name a spec, which has `clusters`."
            )
            raise SpecError.of([Finding(("sites",), "A file of sites", detail, at_key=True).problem(self.document)])
        self.spec, findings = validate(self.document, SpecModel)
        self._report(findings, self.document)
        self._add_sites(self.document, self.spec, self.path.parent)

    def read_sites(self, directory: Path) -> None:
        """Read the sites file in ``directory``, when there is one."""
        file = directory / SITES_FILE
        if file.absolute() == self.path.absolute():
            return
        try:
            data = self.files.read_optional(file)
            document = None if data is None else _without_own_keys(read_document(data, str(file)))
        except SpecError as error:
            self.problems += error.problems
            self.wrong.append(ANY_SITE)
            return
        except OSError as error:
            self.wrong.append(ANY_SITE)
            self.problems.append(Problem(summary="Sites file not readable", detail=f"{file} cannot be read: {error.strerror}."))
            return
        if document is not None:
            sites, findings = validate(document, SitesModel)
            self._report(findings, document)
            self._add_sites(document, sites, directory)

    def check_images(self, image_check: ImageCheck) -> None:
        """Note what ``image_check`` finds wrong with the images that are right by themselves."""
        if self.spec is None or self.document is None:
            return
        for name, model in self.spec.images.items():
            findings = image_check(name, model, self.path.parent)
            self.problems += [finding.problem(self.document) for finding in findings]

    def finished(self) -> LoadedSpec:
        """The whole, checked, with the files it points to. Raises SpecError."""
        if self.document is None or self.spec is None:
            raise SpecError.of(self.problems)
        spec = self.spec.model_copy(update={"sites": self.sites})
        self._check(spec, self.document)
        attachments = Attachments(self.document, self.path.parent, self.home, self.files, self.agent)
        ssh_keys: dict[str, tuple[str, ...]] = {}
        user_data: dict[tuple[str, ...], dict[str, Any]] = {}
        unread: dict[str, tuple[str, ...]] = {}
        for name, cluster in spec.clusters.items():
            if self.need is not None and name not in self.need:
                unread[name] = self._in_outline(name, cluster, self.document, ssh_keys, user_data)
                continue
            ssh_keys[name] = attachments.ssh_keys(name, cluster)
            user_data.update(attachments.user_data(name, cluster))
            self.problems += [finding.problem(self.document) for finding in _too_much(name, user_data)]
        self.problems += attachments.problems
        if self.need is None and not any(problem.severity == "error" for problem in self.problems):
            simulated = {name for name, site in self.sites.items() if site.provider == "simulated"}
            self.problems += attachments.keyless({name for name, each in spec.clusters.items() if each.site in simulated})
        found = tuple(sorted(dict.fromkeys(self.problems), key=self._place))
        if any(problem.severity == "error" for problem in found):
            raise SpecError.of(found)
        return LoadedSpec(
            model=spec,
            document=self.document,
            directory=self.path.parent,
            files=self.files.record,
            ssh_keys=ssh_keys,
            user_data=user_data,
            site_documents=self.site_documents,
            site_directories=self.site_directories,
            warnings=found,
            need=self.need,
            unread=unread,
        )

    def _in_outline(
        self,
        name: str,
        cluster: ClusterModel,
        document: Document,
        ssh_keys: dict[str, tuple[str, ...]],
        user_data: dict[tuple[str, ...], dict[str, Any]],
    ) -> tuple[str, ...]:
        """Read what a cluster points to as far as it is there; the fields of its nodes that are not known for want of the rest.

        What is read so does not count as a part of the spec: a plan does not depend on it.
        """
        unread: list[str] = []
        keys, data = (Attachments(document, self.path.parent, self.home, TrackedReader(), self.agent) for _ in range(2))
        ssh_keys[name] = keys.ssh_keys(name, cluster)
        user_data.update(data.user_data(name, cluster))
        unread += ["keys"] if _wrong(keys) else []
        unread += ["first_boot"] if _wrong(data) or any(_too_much(name, user_data)) else []
        return tuple(unread)

    def _check(self, spec: SpecModel, document: Document) -> None:
        for finding in cross_findings(spec, _keys(document, "images"), self.site_documents):
            if not any(overlaps(path, self.wrong) for path in (finding.path, *finding.about)):
                self.problems.append(finding.problem(document))

    def _report(self, findings: tuple[Finding, ...], document: Document) -> None:
        self.problems += [finding.problem(document) for finding in findings]
        self.wrong += [finding.path for finding in findings]

    def _add_sites(self, document: Document, model: SpecModel | SitesModel | None, directory: Path) -> None:
        for name in _keys(document, "sites"):
            if name not in self.site_documents:
                self.site_documents[name] = document
                self.site_directories[name] = directory
                if model and name in model.sites:
                    self.sites[name] = model.sites[name]

    def _place(self, problem: Problem) -> tuple[bool, str, int, int]:
        """The spec's own problems first, then by file and line."""
        where = problem.where or Where(file="", line=0)
        return where.file != str(self.path), where.file, where.line, where.column


def _wrong(attachments: Attachments) -> bool:
    return any(problem.severity == "error" for problem in attachments.problems)


def _too_much(name: str, user_data: Mapping[tuple[str, ...], dict[str, Any]]) -> Iterator[Finding]:
    """What a cluster's nodes cannot be given: its own user-data and that of the role are merged before they are."""
    common = user_data.get((name,), {})
    for role in ((), ("frontend",), ("computes",)):
        document = user_data.get((name, *role))
        reason = size_problem(merged(common, document) if role else document) if document else None
        if reason:
            yield Finding(("clusters", name, *role, "user_data"), "Too much user-data", f"{reason[0].upper()}{reason[1:]}.")


def _without_own_keys(document: Document) -> Document:
    """``document`` without the top-level keys that begin with ``x-``: they are the user's, to hold anchors."""
    root = document.root
    for key in [key for key in root.items if key.startswith("x-")]:
        del root.items[key], root.keys[key]
    return document


def _keys(document: Document, section: str) -> tuple[str, ...]:
    """The names in a section, also those of entries that are wrong."""
    node = document.root.items.get(section)
    return tuple(node.items) if isinstance(node, TreeMapping) else ()

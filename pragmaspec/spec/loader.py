"""Loads a spec with the files it refers to, or raises all problems found."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pragmaspec import paths
from pragmaspec.errors import Problem, SiteError, SpecError, Where
from pragmaspec.files import NotRegularFileError
from pragmaspec.networking import HYPERVISOR_NETWORKING, Networking
from pragmaspec.plugins import Plugin, reporting
from pragmaspec.spec.attachments import Attachments, complete_user_data
from pragmaspec.spec.fields.default_keys import agent_socket
from pragmaspec.spec.fields.user_data import size_problem
from pragmaspec.spec.files import TrackedReader
from pragmaspec.spec.findings import Finding, overlaps
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.models.cluster import ClusterModel, SiteOptions, SitesModel, SpecModel, sites_model, spec_model
from pragmaspec.spec.models.image import ImageModel
from pragmaspec.spec.models.roles import node_entries
from pragmaspec.spec.models.simulated_site import SimulatedSiteModel
from pragmaspec.spec.peek import SAVED_PLAN_BEGIN
from pragmaspec.spec.validation.cross_checks import ANY_SITE, cross_findings
from pragmaspec.spec.validation.site_providers import SiteProviders, site_providers
from pragmaspec.spec.validation.translate import validate
from pragmaspec.spec.validation.user_checks import cloud_init_user_findings
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.tree import Document, TreePath
from pragmaspec.spec.yaml.tree import Mapping as TreeMapping
from pragmaspec.text import capitalized

SITES_FILE = "sites.yaml"
_FILES_ONLY = "A spec must be a file, because its state and the files it refers to are located relative to it. Name a file."

__all__ = ["SITES_FILE", "LoadedSpec", "load_spec"]

ImageCheck = Callable[[str, ImageModel, Path], Iterable[Finding]]
"""Returns findings in an image, from its name, its model, and the directory of the spec."""


def load_spec(
    path: Path,
    user_config: Path | None = None,
    home: Path | None = None,
    image_check: ImageCheck | None = None,
    agent: str | None = None,
    need: frozenset[str] | None = None,
) -> LoadedSpec:
    """Return the spec in the file ``path``, with the sites, keys and user-data it refers to.

    A site is looked up in the spec, in ``sites.yaml`` next to it, and in ``sites.yaml`` in ``user_config`` (default: the user's
    configuration directory). ``home`` contains the default ssh keys; ``agent`` is the socket of the ssh agent (default:
    ``$SSH_AUTH_SOCK``). ``image_check`` returns further findings in images. ``need`` limits the clusters of interest, so that
    keys and user-data of others may be missing; None means all. Raises SpecError with all problems found.
    """
    loader = _Loader(path, home or paths.home(), agent_socket() if agent is None else agent, need)
    loader.read_spec()
    for directory in (path.parent, user_config or paths.config_home() / "pragmaspec"):
        loader.read_sites(directory)
    if image_check is not None:
        loader.check_images(image_check)
    return loader.result()


@dataclass
class _Loader:
    """Loads one spec step by step, and collects the problems."""

    path: Path
    home: Path
    agent: str
    need: frozenset[str] | None = None
    files: TrackedReader = field(default_factory=TrackedReader)
    problems: list[Problem] = field(default_factory=list)
    invalid: list[TreePath] = field(default_factory=list)
    """Paths with reported problems, which later checks ignore."""
    document: Document | None = None
    spec: SpecModel | None = None
    sites: dict[str, SiteOptions] = field(default_factory=dict)
    site_documents: dict[str, Document] = field(default_factory=dict)
    site_directories: dict[str, Path] = field(default_factory=dict)
    plugins: dict[str, Plugin] = field(default_factory=dict)
    plugin_files: TrackedReader = field(default_factory=TrackedReader)

    def read_spec(self) -> None:
        """Read and validate the spec. Raises SpecError if the file cannot be read, or is a sites file."""
        try:
            data = self.files.read(self.path)
        except FileNotFoundError:
            advice = _FILES_ONLY if str(self.path) == "-" else "`pragmaspec init` creates one."
            raise SpecError("No spec", f"There is no file {self.path}. {advice}") from None
        except OSError as error:
            detail = f"{self.path} cannot be read: {error.strerror}." + (
                f" {_FILES_ONLY}" if isinstance(error, NotRegularFileError) else ""
            )
            raise SpecError("Spec not readable", detail) from None
        if data.startswith(SAVED_PLAN_BEGIN):
            raise SpecError("Not a spec", f"{self.path} is a saved plan. `pragmaspec apply {self.path}` shows and applies it.")
        try:
            self.document = _without_extension_keys(read_document(data, str(self.path)))
        except SpecError as error:
            self.problems += error.problems
            return
        if set(self.document.root.items) == {"sites"}:
            detail = (
                "This file contains only `sites`, so it is a sites file, and is checked with each spec that uses it. "
                "Name a spec, which contains `clusters`."
            )
            raise SpecError.of([Finding(("sites",), "Sites file", detail, at_key=True).problem(self.document)])
        providers = self._providers(self.document)
        self.spec, findings = validate(self.document, spec_model(providers.models), providers.findings)
        self._report(findings, self.document)
        self._add_sites(self.document, self.spec, self.path.parent)

    def read_sites(self, directory: Path) -> None:
        """Read and validate the sites file in ``directory``, if there is one."""
        file = directory / SITES_FILE
        if file.absolute() == self.path.absolute():
            return
        try:
            data = self.files.read_optional(file)
            document = None if data is None else _without_extension_keys(read_document(data, str(file)))
        except SpecError as error:
            self.problems += error.problems
            self.invalid.append(ANY_SITE)
            return
        except OSError as error:
            self.invalid.append(ANY_SITE)
            self.problems.append(Problem(summary="Sites file not readable", detail=f"{file} cannot be read: {error.strerror}."))
            return
        if document is not None:
            providers = self._providers(document)
            sites, findings = validate(document, sites_model(providers.models), providers.findings)
            self._report(findings, document)
            self._add_sites(document, sites, directory)

    def check_images(self, image_check: ImageCheck) -> None:
        """Add the findings of ``image_check`` in valid images."""
        if self.spec is None or self.document is None:
            return
        for name, model in self.spec.images.items():
            findings = image_check(name, model, self.path.parent)
            self.problems += [finding.problem(self.document) for finding in findings]

    def result(self) -> LoadedSpec:
        """Check references, read keys and user-data, and return the spec. Raises SpecError if there are errors."""
        if self.document is None or self.spec is None:
            raise SpecError.of(self.problems)
        spec = self.spec.model_copy(update={"sites": self.sites})
        self._check(spec, self.document)
        read = self._read_attachments(spec, self.document)
        found = tuple(sorted(dict.fromkeys(self.problems), key=self._position))
        if any(problem.severity == "error" for problem in found):
            raise SpecError.of(found)
        return LoadedSpec(
            model=spec,
            document=self.document,
            directory=self.path.parent,
            files=self.files.record,
            ssh_keys=read.ssh_keys,
            user_keys=read.user_keys,
            user_data=read.user_data,
            site_documents=self.site_documents,
            site_directories=self.site_directories,
            warnings=found,
            need=self.need,
            unread=read.unread,
            plugins=self.plugins,
            plugin_files=self.plugin_files.record,
        )

    def _read_attachments(self, spec: SpecModel, document: Document) -> "_ReadFiles":
        """Read the keys and user-data of clusters; those that the command does not need as far as they are readable."""
        attachments = Attachments(document, self.path.parent, self.home, self.files, self.agent)
        read = _ReadFiles()
        for name, cluster in spec.clusters.items():
            if self.need is not None and name not in self.need:
                read.unread[name] = self._read_leniently(name, cluster, document, read)
                continue
            read.ssh_keys[name] = attachments.ssh_keys(name, cluster)
            read.user_keys.update(attachments.user_keys(name, cluster))
            read.user_data.update(attachments.user_data(name, cluster))
            findings = (*_users_of_cloud_init(name, cluster, read.user_data), *_too_large(name, cluster, read.user_data))
            self.problems += [finding.problem(document) for finding in findings]
        self.problems += attachments.problems
        if self.need is None and not any(problem.severity == "error" for problem in self.problems):
            simulated = {name for name, site in self.sites.items() if isinstance(site, SimulatedSiteModel)}
            self.problems += attachments.missing_keys({name for name, each in spec.clusters.items() if each.site in simulated})
        return read

    def _read_leniently(self, name: str, cluster: ClusterModel, document: Document, read: "_ReadFiles") -> tuple[str, ...]:
        """Read the readable files of a cluster, and return the fields of its nodes that depend on the other ones.

        These files are not recorded as inputs of the spec, because the plan does not depend on them.
        """
        unread: list[str] = []
        keys, users, data = (Attachments(document, self.path.parent, self.home, TrackedReader(), self.agent) for _ in range(3))
        read.ssh_keys[name] = keys.ssh_keys(name, cluster)
        read.user_keys.update(users.user_keys(name, cluster))
        read.user_data.update(data.user_data(name, cluster))
        unread += ["keys"] if _has_errors(keys) else []
        unread += ["users"] if _has_errors(users) else []
        unread += ["first_boot"] if _has_errors(data) or any(_too_large(name, cluster, read.user_data)) else []
        return tuple(unread)

    def _providers(self, document: Document) -> SiteProviders:
        found = site_providers(document)
        self.plugins = {**found.plugins, **self.plugins}
        for file in found.files:
            self.plugin_files.read_optional(Path(file))
        return found

    def _check(self, spec: SpecModel, document: Document) -> None:
        networking = {name: self._networking(name, site) for name, site in spec.sites.items()}
        for finding in cross_findings(spec, _keys(document, "images"), self.site_documents, networking):
            if not any(overlaps(path, self.invalid) for path in (finding.path, *finding.about)):
                in_sites = self.site_documents.get(str(finding.path[1])) if finding.path[:1] == ("sites",) else None
                self.problems.append(finding.problem(in_sites or document))

    def _networking(self, name: str, site: SiteOptions) -> Networking:
        """Return how a site connects nodes. An error of its package's code is reported when the spec is expanded."""
        plugin = self.plugins.get(name)
        if plugin is None:
            return site.networking(HYPERVISOR_NETWORKING)
        try:
            with reporting(plugin.name, plugin.package):
                return site.networking(plugin.description.networking)
        except SiteError:
            return plugin.description.networking

    def _report(self, findings: tuple[Finding, ...], document: Document) -> None:
        self.problems += [finding.problem(document) for finding in findings]
        self.invalid += [finding.path for finding in findings]

    def _add_sites(self, document: Document, model: SpecModel | SitesModel | None, directory: Path) -> None:
        for name in _keys(document, "sites"):
            if name not in self.site_documents:
                self.site_documents[name] = document
                self.site_directories[name] = directory
                if model and name in model.sites:
                    self.sites[name] = model.sites[name]

    def _position(self, problem: Problem) -> tuple[bool, str, int, int]:
        """Return a sort key: problems of the spec first, then by file and line."""
        where = problem.where or Where(file="", line=0)
        return where.file != str(self.path), where.file, where.line, where.column


@dataclass(frozen=True)
class _ReadFiles:
    """The contents of files that clusters refer to, as in :class:`LoadedSpec`."""

    ssh_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    user_keys: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    user_data: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _has_errors(attachments: Attachments) -> bool:
    return any(problem.severity == "error" for problem in attachments.problems)


def _too_large(name: str, cluster: ClusterModel, user_data: Mapping[tuple[str, ...], Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield findings for user-data that is too large: that of the cluster alone, and the complete one of nodes."""
    own = {path[1:]: document for path, document in user_data.items() if path[0] == name}
    complete: dict[tuple[str, ...], Mapping[str, Any]] = {(): own.get((), {})}
    complete |= {entry.path: complete_user_data(own, entry.set.path, entry.path) for entry in node_entries(cluster)}
    for path, document in complete.items():
        reason = size_problem(document) if own.get(path) else None
        if reason:
            yield Finding(("clusters", name, *path, "user_data"), "User-data too large", f"{capitalized(reason)}.")


def _users_of_cloud_init(
    name: str, cluster: ClusterModel, user_data: Mapping[tuple[str, ...], Mapping[str, Any]]
) -> tuple[Finding, ...]:
    own = {path[1:]: document for path, document in user_data.items() if path[0] == name}
    complete = (complete_user_data(own, entry.set.path, entry.path) for entry in node_entries(cluster))
    found = (cloud_init_user_findings(("clusters", name), cluster, document) for document in complete)
    return tuple(dict.fromkeys(finding for findings in found for finding in findings))


def _without_extension_keys(document: Document) -> Document:
    """Remove the top-level keys that begin with ``x-``, which users may define for anchors, from ``document``."""
    root = document.root
    for key in [key for key in root.items if key.startswith("x-")]:
        del root.items[key], root.keys[key]
    return document


def _keys(document: Document, section: str) -> tuple[str, ...]:
    """Return the names in a section, including those of invalid entries."""
    node = document.root.items.get(section)
    return tuple(node.items) if isinstance(node, TreeMapping) else ()

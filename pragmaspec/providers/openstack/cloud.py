"""One project of one OpenStack cloud: the client, and what is asked once and kept."""

from functools import cached_property
from threading import Lock
from uuid import NAMESPACE_URL, uuid5

from pragmaspec.errors import SiteError
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.listings import FLAVORS, NETWORKS
from pragmaspec.providers.openstack.objects import NeutronNetwork, OfferedFlavor
from pragmaspec.providers.openstack.settings import OpenStackSettings
from pragmaspec.site import ExternalSite
from pragmaspec.text import did_you_mean


class Cloud:
    """The project that a site is. Thread-safe."""

    def __init__(self, site: ExternalSite, client: Client | None = None) -> None:
        self.site = site
        self.settings = site.read_options(OpenStackSettings)
        self.client = client or Client(self.settings)
        self._lock = Lock()
        self._flavors: dict[str, OfferedFlavor] = {}

    @property
    def title(self) -> str:
        """The cloud for people."""
        return f"OpenStack cloud {self.settings.title}"

    @cached_property
    def project(self) -> str:
        """The id of the project."""
        return self.client.project_id()

    def identity(self) -> SiteIdentity:
        """Return the identity: the project within its region."""
        region, project = self.client.region_name(), self.client.project_name()
        words = ("OpenStack", self.settings.cloud, f"project {project or self.project}", f"region {region}" if region else "")
        return SiteIdentity(
            id=str(uuid5(NAMESPACE_URL, f"openstack:{region}:{self.project}")), title=", ".join(filter(None, words))
        )

    def flavors(self) -> tuple[OfferedFlavor, ...]:
        """Return the flavors that the project may use."""
        found = self.client.list(FLAVORS)
        with self._lock:
            self._flavors = {flavor.name: flavor for flavor in found}
        return found

    def flavor(self, name: str) -> OfferedFlavor:
        """Return the flavor called ``name``. Raises SiteError if it is not offered."""
        with self._lock:
            known = self._flavors.get(name)
        if known is not None:
            return known
        offered = {flavor.name: flavor for flavor in self.flavors()}
        if name not in offered:
            near = did_you_mean(name, offered)
            raise SiteError("Unknown flavor", f"{self.title} has no flavor {name}. {near} Plan again.".replace("  ", " "))
        return offered[name]

    @cached_property
    def shared_network(self) -> NeutronNetwork | None:
        """The network whose addresses are public; None: public addresses are floating ones. Raises SiteError if it is missing."""
        name = self.settings.network
        if not name:
            return None
        found = self.client.list(NETWORKS, name=name)
        if len(found) != 1:
            problem = "has no network" if not found else f"has {len(found)} networks called"
            raise SiteError("No such network at the site", f"{self.title} {problem} {name}, which the site names as `network`.")
        return found[0]

    @cached_property
    def external_network(self) -> NeutronNetwork | None:
        """The network of floating addresses: the one that the site names, else the default or the only one; None: no such."""
        found = self.external_networks
        named = self.site.public.network if self.site.public is not None else None
        if named:
            return next((network for network in found if network.name == named), None)
        default = [network for network in found if network.is_default]
        return default[0] if default else found[0] if len(found) == 1 else None

    @cached_property
    def external_networks(self) -> tuple[NeutronNetwork, ...]:
        """The networks of floating addresses."""
        return self.client.list(NETWORKS, **{"router:external": "true"})

    @cached_property
    def has_volumes(self) -> bool:
        """True if the cloud has block storage."""
        return self.client.has("block-storage")

"""Boots a node: finds or creates its machine, and lets it be as requested."""

from typing import Any

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import code_of, is_refusal
from pragmaspec.providers.ec2.images import RootDisk, root_disk
from pragmaspec.providers.ec2.interfaces import Connected, NodeInterfaces
from pragmaspec.providers.ec2.machines import (
    Machine,
    described_machine,
    disk_tag,
    find_machine,
    machine_of,
    token_of,
    wait_for,
)
from pragmaspec.providers.ec2.marks import Marked, note_of, tags_of
from pragmaspec.providers.ec2.node_disks import TELLS_TAGS, NodeDisks
from pragmaspec.providers.ec2.power import stop_machine
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.sizes import Sizes
from pragmaspec.providers.ec2.staged_images import require_image
from pragmaspec.providers.gibibytes import whole_gib
from pragmaspec.resources import Outputs

USER_DATA_LIMIT = 16 * 2**10
"""Bytes of user-data before its encoding: Amazon EC2 User Guide, "Work with instance user data"."""
_CREATION_S = 180.0
_STOP_S = 600.0
_TOKENS = 10
"""Creations of one op, each of whose machines was removed at the site."""
_TOKEN_OF_REMOVED = "IdempotentInstanceTerminated"  # noqa: S105 - a code of the API


class NodeBoot:
    """The boot of one node."""

    def __init__(self, service: Service, sizes: Sizes, request: BootRequest) -> None:
        self._service = service
        self._sizes = sizes
        self._request = request
        self._node = request.node
        self._mark = request.mark
        self._interfaces = NodeInterfaces(service, request)
        self._disks = node_disks(service, request, self._interfaces)

    def run(self) -> Outputs:
        """Boot the node, and return the id and the MACs of its machine."""
        machine = self._known()
        self._disks.require()
        if self._node.disks:
            require_serials(self._sizes, self._request)
        if machine is None:
            check_user_data(self._request)
            self._check_flavor()
            image = require_image(self._service, self._request.image, self._node.firmware)
            connected = self._interfaces.prepare()
            machine = self._unanswered(connected)
            if machine is None:
                machine = self._create(connected, image)
        machine = self._adjusted(machine)
        networks = [nic.network for nic in self._node.interfaces]
        macs = ((f"mac:{network}", each.mac) for network, each in zip(networks, machine.interfaces, strict=False))
        return (("id", machine.id), *macs)

    def _known(self) -> Machine | None:
        """Return the machine whose id is known; None: it does not exist, or is that of another creation of the node."""
        if not self._request.site_id:
            return None
        machine = find_machine(self._service, self._request.site_id)
        if machine is None or machine.mark is None:
            return None
        same = machine.mark.is_for(self._mark) and machine.mark.generation == self._mark.generation
        return machine if same else None

    def _unanswered(self, connected: Connected) -> Machine | None:
        """Return the machine that an earlier call of this creation made. Raises SiteError if it asked for another one."""
        machine = find_machine(self._service, connected.machine_id) if connected.machine_id else None
        if machine is not None:
            self._refuse_other_request(machine)
        return machine

    def _refuse_other_request(self, machine: Machine) -> None:
        if machine.type != self._node.flavor:
            raise SiteError(
                "The token was used for another request",
                f"{self._mark.address}: the op {self._mark.op} has already created instance {machine.id} of type {machine.type}, "
                f"and type {self._node.flavor} is requested. Plan again.",
            )

    def _check_flavor(self) -> None:
        flavor = self._sizes.find(self._node.flavor)
        if flavor is None:
            raise SiteError(
                "The site refuses the size of a node",
                f"{self._node.address} names the instance type {self._node.flavor or '(none)'}, which site {self._service.site} "
                "does not offer. Plan again to choose another size.",
            )

    def _create(self, connected: Connected, image: Answer) -> Machine:
        try:
            self._interfaces.apply(connected.interfaces)
            self._disks.create()
            machine = self._run_instances(connected, image)
        except ClientError as error:
            if is_refusal(error):
                self._undo(connected.created)
            raise
        except SiteError:
            self._undo(connected.created)
            raise
        if not machine.is_tagged:
            self._service.tag(machine.id, self._tags())
        return self._begun(machine, connected)

    def _undo(self, interfaces: tuple[str, ...]) -> None:
        """Remove what was created for a machine that does not exist."""
        self._interfaces.remove(interfaces)
        self._disks.undo()

    def _run_instances(self, connected: Connected, image: Answer) -> Machine:
        parameters = self._parameters(connected, root_disk(image))
        for attempt in range(_TOKENS):
            token = token_of(self._mark.op, attempt)
            parameters |= {"ClientToken": token} if token else {}
            try:
                answer = self._requested(image["ImageId"], parameters)
            except ClientError as error:
                if code_of(error) != _TOKEN_OF_REMOVED:
                    raise
                continue
            machine = machine_of(answer["Instances"][0])
            if machine.exists:
                self._refuse_other_request(machine)
                return machine
        raise SiteError(
            "A machine was removed again and again",
            f"{self._node.address}: {_TOKENS} machines of the op {self._mark.op} were removed at the site. Plan again.",
        )

    def _requested(self, image_id: str, parameters: dict[str, Any]) -> Answer:
        """Request the machine. With a token the request can be repeated, and new interfaces may have to become known."""
        connection = self._service.connection
        make = connection.settled if "ClientToken" in parameters else connection.call
        return make("run_instances", ImageId=image_id, **parameters)

    def _parameters(self, connected: Connected, root: RootDisk) -> dict[str, Any]:
        settings, node = self._service.settings, self._node
        attached = [{"DeviceIndex": index, "NetworkInterfaceId": each.id} for index, each in enumerate(connected.interfaces)]
        found: dict[str, Any] = {
            "InstanceType": node.flavor,
            "MinCount": 1,
            "MaxCount": 1,
            "NetworkInterfaces": attached,
        }
        if self._request.user_data:
            found["UserData"] = self._request.user_data
        if root.device:
            size_gib = max(root.size_gib, whole_gib(node.disk_bytes))
            disk = {"VolumeSize": size_gib, "DeleteOnTermination": True}
            found["BlockDeviceMappings"] = [{"DeviceName": root.device, "Ebs": disk}]
        if node.disks:
            found["MetadataOptions"] = TELLS_TAGS
        if settings.key:
            found["KeyName"] = settings.key
        if settings.market == "spot":
            # A persistent request: machines of any other kind cannot be stopped.
            options = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
            found["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        if self._service.capabilities.has("tag_at_creation"):
            kinds = ("instance", "volume", *(("spot-instances-request",) if settings.market == "spot" else ()))
            tags = self._tags()
            found["TagSpecifications"] = [{"ResourceType": kind, "Tags": tags} for kind in kinds]
        return found

    def _tags(self) -> list[dict[str, str]]:
        serials = self._disks.serial_tags() if self._node.disks else ()
        extra = (*self._service.settings.tags, disk_tag(self._node.disk_bytes), *serials)
        return tags_of(Marked(self._mark), self._node.name, extra)

    def _begun(self, machine: Machine, connected: Connected) -> Machine:
        """Return the machine once it runs. Raises SiteError, and leaves nothing behind, if the site gave up on it."""
        clock = self._service.connection.clock
        until = clock.monotonic() + _CREATION_S
        found: Machine | None = None
        while clock.monotonic() < until:
            found = described_machine(self._service, machine.id)
            if found is not None and found.state != "pending":
                break
            clock.sleep(1)
        if found is None or found.exists:
            return found or machine
        if found.state == "error":
            self._service.connection.call("terminate_instances", repeatable=True, InstanceIds=[machine.id])
        wait_for(self._service, machine.id, lambda each: each is None or each.state == "terminated", _STOP_S)
        self._undo(tuple(each.id for each in connected.interfaces))
        raise SiteCapacityError(
            "The site did not start a machine",
            f"{self._node.address}: instance {machine.id} is {found.state}: {found.reason or 'no reason is reported'}. Choose "
            "another instance type or zone, or try again later.",
        )

    def _adjusted(self, machine: Machine) -> Machine:
        """Let an existing machine have the requested size, disk, mark and power."""
        node = self._node
        resized = bool(node.flavor) and machine.type != node.flavor
        if resized:
            self._check_flavor()
            stop_machine(self._service, machine, 0)
            self._service.connection.call(
                "modify_instance_attribute", repeatable=True, InstanceId=machine.id, InstanceType={"Value": node.flavor}
            )
        self._grow(machine)
        self._remark(machine)
        self._interfaces.apply(machine.interfaces)
        if machine.state == "stopping":
            wait_for(self._service, machine.id, lambda each: each is None or each.state != "stopping", _STOP_S)
        self._disks.attach(machine)
        if node.running and (resized or machine.status != "running"):
            self._service.connection.call("start_instances", repeatable=True, InstanceIds=[machine.id])
            done = ("running", "pending")
            wait_for(self._service, machine.id, lambda each: each is None or each.state in done, _CREATION_S)
        elif not node.running:
            stop_machine(self._service, machine, 0)
        return machine

    def _grow(self, machine: Machine) -> None:
        """Grow the first disk, where it is a volume."""
        if not machine.root_volume or self._node.disk_bytes <= machine.disk_bytes:
            return
        (volume,) = self._service.connection.call("describe_volumes", VolumeIds=[machine.root_volume])["Volumes"]
        wanted = whole_gib(self._node.disk_bytes)
        if volume["Size"] < wanted:
            if not self._service.capabilities.has("volume_growth"):
                raise SiteError(
                    "A disk cannot grow at the site",
                    f"{self._node.address} wants a disk of {wanted} GiB, has {volume['Size']} GiB, and site {self._service.site} "
                    "cannot grow it. Use a new generation: `pragmaspec plan --rebuild`.",
                )
            self._service.connection.call("modify_volume", repeatable=True, VolumeId=machine.root_volume, Size=wanted)
        key, value = disk_tag(self._node.disk_bytes)
        self._service.tag(machine.id, [{"Key": key, "Value": value}])

    def _remark(self, machine: Machine) -> None:
        """Let an adopted machine carry the op of this creation."""
        if machine.mark is None or not self._mark.op or machine.mark.op == self._mark.op:
            return
        self._service.tag(machine.id, tags_of(Marked(self._mark), self._node.name))
        for each in machine.interfaces:
            self._service.connection.call(
                "modify_network_interface_attribute",
                repeatable=True,
                NetworkInterfaceId=each.id,
                Description={"Value": note_of(Marked(self._mark, each.network))},
            )


def check_boot(service: Service, sizes: Sizes, request: BootRequest) -> None:
    """Raise SiteError if the image, the instance type or a network of a node is missing."""
    node_disks(service, request, NodeInterfaces(service, request)).require()
    if request.node.disks:
        require_serials(sizes, request)
    require_image(service, request.image, request.node.firmware)
    offered = sizes.find(request.node.flavor)
    if offered is None and sizes.of_machine(request.node.flavor) is None:
        raise SiteError(
            "The site refuses the size of a node",
            f"{request.node.address} names the instance type {request.node.flavor}, which site {service.site} does not offer.",
        )


def node_disks(service: Service, request: BootRequest, interfaces: NodeInterfaces) -> NodeDisks:
    """Return the further disks of a node, in the zone of its networks."""
    return NodeDisks(service, request, interfaces.zone if request.node.disks and service.has_disks else "")


def require_serials(sizes: Sizes, request: BootRequest) -> None:
    """Raise SiteError if the guest of a node with further disks cannot tell them apart."""
    node = request.node
    if not sizes.shows_serials(node.flavor):
        raise SiteError(
            "The instance type shows no serial numbers",
            f"{node.address} has further disks, which its guest finds by their serial numbers, and type {node.flavor} shows "
            "none. Use a type of the Nitro system, such as t3.medium.",
        )


def check_user_data(request: BootRequest) -> None:
    """Raise SiteError if the user-data of a new machine is too large."""
    size = len(request.user_data)
    if size > USER_DATA_LIMIT:
        raise SiteError(
            "User-data too large for the site",
            f"{request.node.address} has {size:,} bytes of user-data; EC2 allows {USER_DATA_LIMIT:,}.",
        )

"""Mechanism driver of neutron for hypervisors with nova's fake driver: no agent binds their ports, so it does at once."""

from neutron_lib import constants
from neutron_lib.plugins.ml2 import api

REAL_HOSTS = ("", "lab1")


class FakeHostsDriver(api.MechanismDriver):
    def initialize(self):
        pass

    def bind_port(self, context):
        if context.host not in REAL_HOSTS and context.segments_to_bind:
            segment = context.segments_to_bind[0]
            context.set_binding(segment[api.ID], "bridge", {"port_filter": False}, status=constants.PORT_STATUS_ACTIVE)

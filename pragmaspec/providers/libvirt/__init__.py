"""The libvirt provider: one hypervisor host, local or remote, driven through libvirt-python alone."""

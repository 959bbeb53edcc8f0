"""Field type of the names of users, and the numbers derived from them."""

import re
from hashlib import blake2b

from pragmaspec.spec.fields.scalars import ScalarField
from pragmaspec.spec.value_errors import value_error

USER_PATTERN = "^[a-z_][a-z0-9_-]{0,31}$"
SYSTEM_USERS = frozenset((
    "_apt", "adm", "avahi", "backup", "bin", "chrony", "colord", "daemon", "dbus", "dnsmasq", "ftp", "games", "gdm",
    "gnats", "halt", "irc", "landscape", "list", "lp", "mail", "man", "messagebus", "munge", "mysql", "news", "nobody",
    "ntp", "operator", "polkitd", "postfix", "postgres", "proxy", "puppet", "root", "rpc", "rpcuser", "rtkit",
    "saslauth", "shutdown", "slurm", "sshd", "sssd", "statd", "sync", "sys", "syslog", "systemd-coredump",
    "systemd-journal", "systemd-network", "systemd-resolve", "systemd-timesync", "tcpdump", "tss", "uucp", "uuidd",
    "www-data",
))  # fmt: skip
"""Accounts of Debian, Ubuntu, Red Hat and of common services."""
_FIRST_UID, _UIDS = 20_000, 40_000


def user_name() -> ScalarField:
    """Return a field type for names of users (as in useradd(8)) that are not accounts of the system."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.match(USER_PATTERN.removesuffix("$") + r"\Z", value):
            rule = "of a to z, digits, hyphens and underscores, begin with a letter, and have at most 32 characters"
            raise value_error("Invalid user name", f"names of users consist {rule}")
        if value in SYSTEM_USERS:
            raise value_error("Account of the system", f"`{value}` is an account of the system; write another name")
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": USER_PATTERN, "not": {"enum": sorted(SYSTEM_USERS)}})


def uid_of(name: str) -> int:
    """Return the uid of a user without a number of its own, from 20,000 to 59,999: a function of the name only."""
    return _FIRST_UID + int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) % _UIDS

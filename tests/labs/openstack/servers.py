"""Servers of the lab through its plain APIs, without a client library."""

import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.labs.openstack.lab import OpenStackLab

CALL_LIMIT_S = 120
WAIT_LIMIT_S = 400
COMPUTE_VERSION = "2.52"


@dataclass(frozen=True)
class Account:
    """A user of the lab, with a token and the URLs of the services."""

    session: requests.Session
    urls: dict[str, str] = field(default_factory=dict)

    def get(self, service: str, path: str) -> Any:
        return self._answer(self.session.get(self.urls[service] + path, timeout=CALL_LIMIT_S))

    def post(self, service: str, path: str, body: dict[str, Any]) -> Any:
        return self._answer(self.session.post(self.urls[service] + path, json=body, timeout=CALL_LIMIT_S))

    def delete(self, service: str, path: str) -> None:
        self._answer(self.session.delete(self.urls[service] + path, timeout=CALL_LIMIT_S))

    @staticmethod
    def _answer(answer: requests.Response) -> Any:
        if not answer.ok:
            raise RuntimeError(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None


def account(lab: OpenStackLab, user: str = "demo") -> Account:
    """Return the account of ``user`` in the project of the same name."""
    password = {"user": {"name": user, "domain": {"id": "default"}, "password": "secret"}}
    scope = {"project": {"name": user, "domain": {"id": "default"}}}
    request = {"auth": {"identity": {"methods": ["password"], "password": password}, "scope": scope}}
    answer = requests.post(f"{lab.auth_url}/auth/tokens", json=request, timeout=CALL_LIMIT_S)
    answer.raise_for_status()
    session = requests.Session()
    session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    session.headers["X-OpenStack-Nova-API-Version"] = COMPUTE_VERSION
    urls = {
        service["type"]: endpoint["url"].rstrip("/")
        for service in answer.json()["token"]["catalog"]
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public" and endpoint["region"] == lab.region
    }
    return Account(session, urls)


@contextmanager
def security_group(user: Account) -> Iterator[str]:
    """The id of a security group that admits ssh."""
    body = {"security_group": {"name": "ssh", "description": "for one test"}}
    group = user.post("network", "/v2.0/security-groups", body)["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
    user.post(
        "network", "/v2.0/security-group-rules", {"security_group_rule": {**rule, "port_range_min": 22, "port_range_max": 22}}
    )
    try:
        yield group
    finally:
        user.delete("network", f"/v2.0/security-groups/{group}")


@contextmanager
def server(user: Account, group: str, user_data: bytes, *, config_drive: bool) -> Iterator[str]:
    """The id of a server with the image and the flavor "tiny" on the network "campus"; active."""
    (image,) = user.get("image", "/v2/images?name=tiny")["images"]
    (flavor,) = (each for each in user.get("compute", "/flavors")["flavors"] if each["name"] == "tiny")
    (network,) = user.get("network", "/v2.0/networks?name=campus")["networks"]
    body = {
        "name": "test",
        "imageRef": image["id"],
        "flavorRef": flavor["id"],
        "networks": [{"uuid": network["id"]}],
        "security_groups": [{"name": group}],
        "user_data": b64encode(user_data).decode(),
        "config_drive": config_drive,
    }
    made = user.post("compute", "/servers", {"server": body})["server"]["id"]
    try:
        wait_for(lambda: state(user, made) != "BUILD", "the server is built")
        if state(user, made) != "ACTIVE":
            raise RuntimeError(f"{user.get('compute', f'/servers/{made}')['server'].get('fault')}")
        yield made
    finally:
        user.delete("compute", f"/servers/{made}")
        wait_for(lambda: all(each["id"] != made for each in user.get("compute", "/servers")["servers"]), "the server is deleted")


def state(user: Account, server_id: str) -> str:
    return user.get("compute", f"/servers/{server_id}")["server"]["status"]


def address(user: Account, server_id: str) -> str:
    return user.get("compute", f"/servers/{server_id}")["server"]["addresses"]["campus"][0]["addr"]


def console(user: Account, server_id: str) -> str:
    return user.post("compute", f"/servers/{server_id}/action", {"os-getConsoleOutput": {}})["output"]


def ssh(identity: Path, known_hosts: Path, host: str, command: str) -> str:
    """Return the output of ``command`` at ``host``, whose host key has to be known. Tries again until ssh answers."""
    options = ("BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known_hosts}", "ConnectTimeout=10")
    argv = ["ssh", "-F", "none", "-i", identity, *(f"-o{option}" for option in options), f"root@{host}", command]
    done: list[subprocess.CompletedProcess[str]] = []

    def answered() -> bool:
        done[:] = [subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)]
        return not ("refused" in done[0].stderr or "timed out" in done[0].stderr or "No route" in done[0].stderr)

    wait_for(answered, f"ssh answers at {host}")
    if done[0].returncode != 0:
        raise RuntimeError(f"ssh {host}: {done[0].stderr}")
    return done[0].stdout


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Call ``reached`` until it is true. Raises TimeoutError after ``WAIT_LIMIT_S``."""
    end = time.monotonic() + WAIT_LIMIT_S
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {WAIT_LIMIT_S} s: {what}")
        time.sleep(0.5)

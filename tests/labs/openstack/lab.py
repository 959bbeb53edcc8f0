"""The OpenStack lab from Python: build, start, use and stop it. ``README.md`` beside this file describes it."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

PROGRAM = Path(__file__).with_name("lab")
BUILD_LIMIT_S = 1800
START_LIMIT_S = 1200
STOP_LIMIT_S = 120
AUTH_URL = re.compile(r"auth_url: (?P<url>http://(?P<net>[0-9]+\.[0-9]+\.[0-9]+)\.1:5000/v3)")


@dataclass(frozen=True)
class OpenStackLab:
    """Access to a running lab. Its users, networks, flavors and limits are constants, see ``README.md``."""

    directory: Path
    auth_url: str
    """Keystone, for all clouds of ``clouds_file``."""
    clouds_file: Path
    """clouds.yaml with the clouds ``lab-demo``, ``lab-other`` and ``lab-admin``: users and projects of these names."""
    region: str
    ec2_url: str
    ec2_access_key: str
    """Of the user ``demo``."""
    ec2_secret_key: str
    public: IPv4Network
    """External network "public": ``.1`` has all APIs, ``.10`` to ``.99`` are floating addresses, ``.254`` is this machine."""
    campus: IPv4Network
    """Shared provider network "campus" with DHCP: ``.10`` to ``.99`` are addresses of servers, ``.254`` is this machine."""

    def run(self, *command: str, limit_s: float = START_LIMIT_S) -> str:
        """Run a command of the ``lab`` program, and return its output. Raises RuntimeError if it fails."""
        return run_lab(self.directory, *command, limit_s=limit_s)


def default_directory() -> Path:
    """Return the directory of the lab of this user: ``LAB_DIR``, else in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LAB_DIR") or Path(cache) / "pragmaspec-tests" / "openstack")


def access(directory: Path) -> OpenStackLab:
    """Return access to the lab that is up in ``directory``. Raises FileNotFoundError if none was."""
    clouds_file = directory / "clouds.yaml"
    found = AUTH_URL.search(clouds_file.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError(f"{clouds_file} has no auth_url")
    public = IPv4Network(f"{found['net']}.0/24")
    campus = os.environ.get("LAB_CAMPUS")
    ec2 = dict(line.split("=", 1) for line in (directory / "ec2.env").read_text(encoding="utf-8").splitlines())
    return OpenStackLab(
        directory=directory,
        auth_url=found["url"],
        clouds_file=clouds_file,
        region=ec2["AWS_DEFAULT_REGION"],
        ec2_url=ec2["AWS_ENDPOINT_URL_EC2"],
        ec2_access_key=ec2["AWS_ACCESS_KEY_ID"],
        ec2_secret_key=ec2["AWS_SECRET_ACCESS_KEY"],
        public=public,
        campus=IPv4Network(f"{campus}.0/24" if campus else (int(public.broadcast_address) + 1, public.prefixlen)),
    )


@contextmanager
def started(directory: Path) -> Iterator[OpenStackLab]:
    """Build the lab if needed, start it unless it is up, and stop it after its last user on this machine.

    Each user holds a shared lock, which ends with its process. Raises RuntimeError with the last lines of the log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with (directory / "users").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            run_lab(directory, "build", limit_s=BUILD_LIMIT_S)
            run_lab(directory, "up", limit_s=START_LIMIT_S)
            yield access(directory)
    finally:
        run_lab(directory, "down", "unused", limit_s=STOP_LIMIT_S)


def run_lab(directory: Path, *command: str, limit_s: float) -> str:
    """Run ``lab COMMAND`` for the lab in ``directory``, and return its output. Raises RuntimeError if it fails."""
    environment = {**os.environ, "LAB_DIR": str(directory), "LAB_PYTHON": sys.executable}
    with subprocess.Popen(
        [PROGRAM, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode != 0:
        raise RuntimeError(f"lab {' '.join(command)} failed ({process.returncode}):\n{output}")
    return output

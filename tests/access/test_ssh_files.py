import subprocess
from pathlib import Path

from pragmaspec.access.routes import routes
from pragmaspec.access.ssh_files import SshFiles, known_hosts_text, ssh_config_text
from tests.access.conftest import HELLO, KEY

HERE = Path(__file__).parent
FILES = SshFiles(
    known_hosts="/run/user/1000/pragmaspec/known_hosts",
    identities=("/run/user/1000/pragmaspec/id_operator", '/home/a "b" 100%/.ssh/id_ed25519'),
    control="/run/user/1000/pragmaspec/cm-%C",
)


def _effective_options(text, name, tmp_path):
    """The options that OpenSSH applies to the host ``name``."""
    (tmp_path / "config").write_text(text)
    done = subprocess.run(["ssh", "-G", "-F", str(tmp_path / "config"), name], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def test_generated_ssh_files(golden):
    golden(HERE / "ssh_config.txt", ssh_config_text(routes(HELLO, KEY), FILES))
    golden(HERE / "known_hosts.txt", known_hosts_text(routes(HELLO, KEY)))


def test_openssh_applies_the_generated_options(tmp_path):
    text = ssh_config_text(routes(HELLO, KEY), FILES)
    compute = _effective_options(text, "hello-compute-1", tmp_path)
    assert compute["hostname"] == ["10.22.0.11"]
    assert compute["proxyjump"] == ["hello-frontend"]
    assert compute["hostkeyalias"] == ["hello-compute-1.3f9a1c2b"]
    assert compute["stricthostkeychecking"] == ["true"]
    assert compute["user"] == ["root"]
    assert compute["controlmaster"] == ["false"]
    assert [path.replace("%%", "%") for path in compute["identityfile"]] == list(FILES.identities)
    frontend = _effective_options(text, "hello-frontend", tmp_path)
    assert frontend["controlmaster"] == ["auto"]
    assert frontend["controlpath"][0].startswith("/run/user/1000/pragmaspec/cm-")


def test_options_do_not_apply_to_other_hosts(tmp_path):
    text = ssh_config_text(routes(HELLO, KEY), FILES)
    assert _effective_options(text, "example.org", tmp_path)["stricthostkeychecking"] != ["true"]


def test_a_configuration_without_routes_is_only_a_comment():
    assert ssh_config_text((), FILES) == "# Written by pragmaspec from the recorded state; changes are lost.\n"

import os
import stat
import time

import pytest
from msgspec.structs import replace

from pragmaspec.access.ssh import SshClient, printable
from pragmaspec.access.ssh_files import ssh_directory
from pragmaspec.errors import AccessError
from pragmaspec.guest.keys import StackKey
from tests.access.conftest import HELLO, KEY, LINEAGE, recorded, state

FRONTEND, COMPUTE = "lab/hello/node/hello-frontend", "lab/hello/node/hello-compute-0"
NEAR = state(recorded("hello-frontend", public="127.0.0.1"))


def _connected(folder, server, recorded_state=NEAR):
    """A client whose nodes are all on this machine, once the server listens."""
    remote = SshClient(LINEAGE, KEY, folder / "ssh", port=server.port)
    remote.use(recorded_state)
    limit = time.monotonic() + 20
    while not remote.answers(FRONTEND):
        assert time.monotonic() < limit, server.log.read_text()
        time.sleep(0.02)
    return remote


@pytest.fixture
def remote(serve, short_folder):
    remote = _connected(short_folder, serve(FRONTEND))
    yield remote
    remote.close()


def test_the_first_connection_is_verified_without_a_prompt(remote):
    done = remote.run(
        FRONTEND, ["sh", "-c", 'cat; printf "%s|" "$@"; echo oops >&2; exit 3', "x", "a b", "$HOME", "'"], stdin=b"in "
    )
    assert (done.status, done.stdout, done.stderr) == (3, b"in a b|$HOME|'|", "oops\n")


def test_a_wrong_host_key_is_refused_and_nothing_is_sent(serve, short_folder):
    server = serve(FRONTEND, StackKey(b"z" * 32))
    remote = _connected(short_folder, server)
    with pytest.raises(AccessError, match="A node has a wrong host key"):
        remote.run(FRONTEND, ["true"])
    assert "Accepted" not in server.log.read_text()


def test_the_host_key_of_another_node_is_refused(serve, short_folder):
    remote = _connected(short_folder, serve(COMPUTE))
    with pytest.raises(AccessError, match="wrong host key"):
        remote.run(FRONTEND, ["true"])


def test_probes_of_computes_share_the_connection_to_the_frontend(serve, short_folder):
    """One server is the frontend and the compute, so both present the same host key, which is refused for the compute."""
    server = serve(FRONTEND)
    both = NEAR.with_record(recorded("hello-compute-0", 0, private="127.0.0.2"))
    remote = _connected(short_folder, server, both)
    try:
        assert remote.run(FRONTEND, ["true"]).status == 0
        assert list((short_folder / "ssh").glob("cm-*")), "the connection to the frontend stays open for others"
        accepted = server.log.read_text().count("Accepted publickey")
        for _ in range(16):
            assert remote.answers(COMPUTE)
        assert server.log.read_text().count("Accepted publickey") == accepted, "no new handshake with the frontend"
        with pytest.raises(AccessError, match="wrong host key"):
            remote.run(COMPUTE, ["true"])
    finally:
        remote.close()
    # The master removes its socket after accepting the request to exit; without the request it would stay for 60 s.
    limit = time.monotonic() + 20
    while list((short_folder / "ssh").glob("cm-*")):
        assert time.monotonic() < limit, "the shared connection is still open"
        time.sleep(0.05)


def test_a_command_runs_on_a_compute_through_the_frontend(serve, short_folder):
    """Two servers on one port: the frontend at 127.0.0.1, the compute behind it."""
    frontend = serve(FRONTEND)
    both = NEAR.with_record(recorded("hello-compute-0", 0, private="127.0.0.2"))
    remote = _connected(short_folder, frontend, both)
    remote.close()
    config = remote.config.read_text()
    compute = serve(COMPUTE)
    # In this test only, frontend and compute have different ports.
    remote.config.write_text(config.replace("HostName 127.0.0.2\n", f"HostName 127.0.0.2\n  Port {compute.port}\n"))
    limit = time.monotonic() + 20
    while True:
        try:
            assert remote.run(COMPUTE, ["echo", "here"]).stdout == b"here\n"
            break
        except AccessError:
            assert time.monotonic() < limit, compute.log.read_text()
            time.sleep(0.05)
    remote.close()


def test_connections_are_not_shared_if_the_socket_path_is_too_long(serve, tmp_path):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    remote = _connected(folder, serve(FRONTEND), NEAR.with_record(recorded("hello-compute-0", 0, private="127.0.0.2")))
    assert remote.run(FRONTEND, ["echo", "here"]).stdout == b"here\n"
    assert "ControlMaster" not in remote.config.read_text()
    remote.close()


def test_an_unreachable_address_is_in_the_error(short_folder):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh", port=1)
    remote.use(NEAR)
    assert not remote.answers(FRONTEND)
    with pytest.raises(AccessError, match=r"hello-frontend at 127\.0\.0\.1: .*Connection refused"):
        remote.run(FRONTEND, ["true"])


def test_a_compute_is_unreachable_if_its_frontend_is_down(short_folder):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh", port=1)
    remote.use(NEAR.with_record(recorded("hello-compute-0", 0, private="127.0.0.2")))
    assert not remote.answers(COMPUTE)
    with pytest.raises(AccessError, match=r"hello-compute-0 at 127\.0\.0\.2 through hello-frontend"):
        remote.run(COMPUTE, ["true"])


def test_a_command_is_stopped_by_its_timeout_or_by_an_exception_in_tick(remote):
    ticks = []
    began = time.monotonic()
    with pytest.raises(AccessError, match="took too long"):
        remote.run(FRONTEND, ["sleep", "60"], timeout_s=2.5, tick=lambda: ticks.append(1))
    assert time.monotonic() - began < 20
    assert ticks

    def cancel():
        raise KeyError

    with pytest.raises(KeyError):
        remote.run(FRONTEND, ["sleep", "60"], tick=cancel)


def test_interactive_returns_the_exit_status(remote, capfd):
    assert remote.interactive(FRONTEND, ["echo", "$((6*7));", "exit", "7"]) == 7
    assert capfd.readouterr().out == "42\n"


def test_files_are_private_and_rewritten_only_if_changed(short_folder):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh")
    remote.use(HELLO)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (short_folder / "ssh").iterdir()}
    assert modes == {"config": 0o600, "known_hosts": 0o600, "id_operator": 0o600}
    before = {path.name: path.stat().st_ino for path in (short_folder / "ssh").iterdir()}
    (short_folder / "ssh" / "id_operator").chmod(0o644)
    remote.use(HELLO)
    after = {path.name: path.stat().st_ino for path in (short_folder / "ssh").iterdir()}
    assert after["config"] == before["config"]
    assert stat.S_IMODE((short_folder / "ssh" / "id_operator").stat().st_mode) == 0o600


def test_the_error_for_a_node_without_a_route_suggests_the_console(short_folder):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh")
    remote.use(state(recorded("hello-frontend")))
    assert not remote.reachable(FRONTEND)
    with pytest.raises(AccessError, match="pragmaspec console"):
        remote.run(FRONTEND, ["true"])


def test_a_missing_ssh_client_is_an_error_that_names_the_package(short_folder, monkeypatch):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh")
    remote.use(NEAR)
    monkeypatch.setenv("PATH", "/nowhere")
    for call in (remote.run, remote.interactive):
        with pytest.raises(AccessError, match="openssh-client"):
            call(FRONTEND, ["true"])


def test_an_unwritable_folder_is_an_error(short_folder):
    (short_folder / "ssh").write_text("")
    with pytest.raises(AccessError, match="ssh files cannot be written"):
        SshClient(LINEAGE, KEY, short_folder / "ssh").use(NEAR)


def test_the_ssh_directory_follows_the_xdg_variables(tmp_path, monkeypatch):
    assert ssh_directory("x") == tmp_path / "home" / ".local" / "share" / "pragmaspec" / "ssh" / "x"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert ssh_directory("x") == tmp_path / "pragmaspec" / "x"
    assert os.access(tmp_path, os.W_OK)


def test_the_keys_of_the_user_are_offered_after_the_operator_key(short_folder, tmp_path):
    (tmp_path / "home" / ".ssh").mkdir()
    (tmp_path / "home" / ".ssh" / "id_ed25519").touch()
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh")
    remote.use(NEAR)
    lines = [line.strip() for line in remote.config.read_text().splitlines() if "IdentityFile" in line]
    assert lines == [f'IdentityFile "{short_folder}/ssh/id_operator"', f'IdentityFile "{tmp_path}/home/.ssh/id_ed25519"']


def test_control_characters_are_replaced_in_output():
    assert printable("a\x1b[31m\r\nb\n\u202e") == "a\N{REPLACEMENT CHARACTER}[31m\nb\n\N{REPLACEMENT CHARACTER}"


def test_addresses_are_used_as_soon_as_the_boots_have_named_them(short_folder):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh")
    known = {record.address: record.resource for record in HELLO.records}
    unknown = state(*(_without_addresses(record) for record in HELLO.records))
    assert remote.use(unknown) == ()
    compute = "lab/hello/node/hello-compute-0"
    assert remote.reachable(compute)
    assert not remote.answers(compute)
    assert remote.jump(compute) == FRONTEND
    remote.learn(known[compute])
    remote.learn(known[FRONTEND])
    remote.learn(known[FRONTEND])
    assert [(route.name, route.address) for route in remote.routes] == [
        ("hello-compute-0", "10.22.0.10"),
        ("hello-frontend", "192.0.2.10"),
    ]
    told = _blocks(remote.config)
    remote.use(state(*(record for record in HELLO.records if record.address != "lab/hello/node/hello-compute-1")))
    assert told.keys() - _blocks(remote.config).keys() == {"hello-frontend hello-compute-0 hello-compute-1"}
    assert {name: told[name] for name in ("hello-frontend", "hello-compute-0")} == {
        name: block for name, block in _blocks(remote.config).items() if " " not in name
    }
    moved = replace(known[compute], nics=(replace(known[compute].nics[0], address="10.22.0.99"),))
    remote.learn(moved)
    assert remote.route(compute).address == "10.22.0.99"
    assert "HostName 10.22.0.99" in remote.config.read_text()
    assert "10.22.0.10\n" not in remote.config.read_text()
    remote.learn(recorded("other-frontend", public="192.0.2.11").resource)
    assert not remote.reachable("lab/other/node/other-frontend")


def test_files_that_cannot_be_completed_are_an_error(short_folder):
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh")
    frontend = HELLO.record(FRONTEND).resource
    private, public = frontend.nics
    remote.use(state(replace(HELLO.record(FRONTEND), resource=replace(frontend, nics=(private, replace(public, address=""))))))
    remote.config.unlink()
    remote.config.mkdir()
    with pytest.raises(AccessError, match="The ssh files cannot be written"):
        remote.learn(frontend)


def _without_addresses(record):
    node = record.resource
    return replace(record, resource=replace(node, nics=tuple(replace(nic, address="") for nic in node.nics)))


def _blocks(config):
    """Return the blocks of a client configuration by the names they are for."""
    found = {}
    for line in config.read_text().splitlines():
        if line.startswith("Host "):
            lines = found.setdefault(line.removeprefix("Host "), [])
        elif line.strip() and not line.startswith("#"):
            lines.append(line)
    return found

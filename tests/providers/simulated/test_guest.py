"""The simulated guest: the stages of its boot, and the output of its console."""

from pragmaspec.providers.simulated.guest import guest_stage
from pragmaspec.providers.simulated.objects import SimulatedMachine


def test_without_latency_a_guest_is_ready_immediately(stack):
    stack.prepare().boot()
    assert stack.stage_of() == "cloud-init"


def test_with_latency_a_guest_reaches_every_stage_in_order(make_stack):
    stack = make_stack(latency_s=10.0).prepare()
    stack.boot()
    seen = []
    while not seen or seen[-1] != "cloud-init":
        seen.append(stack.stage_of())
        stack.clock.sleep(1.0)
    assert list(dict.fromkeys(seen)) == ["running", "address", "ssh", "cloud-init"]
    assert 31 <= len(seen) <= 51


def test_absent_and_stopped_machines_are_off(stack):
    assert stack.stage_of() == "off"
    stack.prepare().boot()
    stack.provider.shutdown(stack.node(), stack.mark(stack.node()), 1.0)
    assert stack.stage_of() == "off"


def test_the_seed_determines_the_speed_of_guests():
    def ready_after(address: str, seed: int) -> int:
        machine = SimulatedMachine(address=address, booted_at=0.0)
        return next(t for t in range(1000) if guest_stage(machine, t / 10, latency_s=10.0, seed=seed) == "cloud-init")

    addresses = [f"lab/hello/node/{name}" for name in "abcdefgh"]
    first = [ready_after(address, 1) for address in addresses]
    assert first == [ready_after(address, 1) for address in addresses]
    assert first != [ready_after(address, 2) for address in addresses]
    assert len(set(first)) > 1


def test_console_of_a_ready_guest(stack, golden, request):
    stack.prepare().boot()
    text = stack.provider.console_log(stack.node(), stack.mark(stack.node())).decode()
    golden(request.path.with_name("console.txt"), text + "\n")


def test_diagnostics_contain_the_end_of_the_console_and_the_addresses(stack):
    stack.prepare().boot()
    evidence = stack.provider.diagnostics(stack.node(), stack.mark(stack.node()))
    assert evidence.domain == "running"
    assert evidence.console[-1] == "hello-compute-0 login: "
    assert evidence.lease == "52:54:00:00:00:00 has 10.20.0.10"

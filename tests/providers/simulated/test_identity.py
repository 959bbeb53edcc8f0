"""Sites that assign identities themselves, and calls that take effect late."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from tests.providers.simulated.conftest import OTHER


def boot_request(stack, op, *, site_id="", **changes):
    asked = stack.boot_request(stack.node(**changes))
    return replace(asked, mark=replace(asked.mark, op=op), site_id=site_id)


def marked(stack, op):
    return replace(stack.mark(stack.node()), op=op)


def there(stack):
    return [(seen.op, seen.id, seen.status) for seen in stack.observed().nodes]


@pytest.fixture
def tagged(make_stack):
    return make_stack(identity="tag").prepare()


@pytest.fixture
def tokened(make_stack):
    return make_stack(identity="token").prepare()


def test_every_tagged_request_without_an_id_creates_a_machine(tagged):
    ((_, first),) = tagged.provider.boot(boot_request(tagged, "a"))
    ((_, second),) = tagged.provider.boot(boot_request(tagged, "a"))
    assert first != second
    assert tagged.provider.boot(boot_request(tagged, "a", site_id=first)) == (("id", first),)
    assert [seen.made for seen in tagged.observed().nodes] == sorted(seen.made for seen in tagged.observed().nodes)
    assert len(there(tagged)) == 2


def test_a_missing_machine_with_an_id_is_created(tagged):
    tagged.provider.boot(boot_request(tagged, "a", site_id="m-99"))
    assert len(there(tagged)) == 1


def test_a_token_creates_one_machine(tokened):
    assert tokened.provider.boot(boot_request(tokened, "a")) == tokened.provider.boot(boot_request(tokened, "a"))
    assert len(there(tokened)) == 1
    tokened.provider.boot(boot_request(tokened, "b"))
    assert len(there(tokened)) == 2


def test_a_token_is_valid_for_one_request(tokened):
    ((_, site_id),) = tokened.provider.boot(boot_request(tokened, "a"))
    with pytest.raises(SiteError, match="The token was used for another request"):
        tokened.provider.boot(boot_request(tokened, "a", cpus=9))
    tokened.provider.boot(boot_request(tokened, "a", cpus=9, site_id=site_id))
    assert [seen.cpus for seen in tokened.observed().nodes] == [9], "a machine with an id is changed in place"


def test_clean_removes_only_machines_of_the_op(tagged):
    for op in ("a", "a", "b"):
        tagged.provider.boot(boot_request(tagged, op))
    tagged.provider.shutdown(tagged.node(), marked(tagged, "a"), 0.0)
    assert [status for _, _, status in there(tagged)] == ["off", "off", "running"]
    tagged.provider.clean(tagged.node(), marked(tagged, "a"))
    assert [op for op, _, _ in there(tagged)] == ["b"]


def test_a_duplicate_is_removed_by_id_and_op(tagged):
    ((_, first),) = tagged.provider.boot(boot_request(tagged, "a"))
    ((_, second),) = tagged.provider.boot(boot_request(tagged, "a"))
    assert tagged.provider.abilities.duplicate_removal is not None
    tagged.provider.remove_duplicate(second, marked(tagged, "b"))
    tagged.provider.remove_duplicate(second, replace(marked(tagged, "a"), lineage=OTHER))
    assert len(there(tagged)) == 2
    tagged.provider.remove_duplicate(second, marked(tagged, "a"))
    assert [site_id for _, site_id, _ in there(tagged)] == [first]
    tagged.provider.remove_duplicate(second, marked(tagged, "a"))


def test_late_claims_and_images_are_removed_as_duplicates(stack):
    stack.prepare()
    (granted,) = stack.observed().allocations
    stack.provider.remove_duplicate(granted.id, stack.mark(stack.allocation))
    stack.provider.remove_duplicate(stack.image.digest, stack.mark(stack.image))
    assert (stack.observed().allocations, stack.observed().images) == ((), ())


def test_a_boot_with_chosen_identity_updates_the_op(stack):
    stack.prepare()
    stack.provider.boot(boot_request(stack, "a"))
    assert stack.provider.boot(boot_request(stack, "b")) == ()
    assert [op for op, _, _ in there(stack)] == ["b"]
    stack.provider.clean(stack.node(), marked(stack, "a"))
    assert len(there(stack)) == 1, "a late removal affects only the earlier creation"
    stack.provider.clean(stack.node(), marked(stack, "b"))
    assert there(stack) == []


def test_a_late_removal_keeps_a_new_claim(stack):
    for op in ("a", "b"):
        stack.provider.allocate(stack.allocation, replace(stack.mark(stack.allocation), op=op))
    stack.provider.clean(stack.allocation, replace(stack.mark(stack.allocation), op="a"))
    assert [granted.op for granted in stack.observed().allocations] == ["b"]


def test_another_generation_is_not_touched(stack):
    stack.prepare().boot()
    with pytest.raises(SiteConflictError, match="Another generation of the node is at the site"):
        stack.boot(generation=1)
    stack.provider.clean(stack.node(), stack.mark(stack.node(), 1))
    assert there(stack) == [], "a removal includes earlier generations"
    stack.boot(generation=1)
    stack.provider.clean(stack.node(), stack.mark(stack.node()))
    assert len(there(stack)) == 1, "but not later ones"

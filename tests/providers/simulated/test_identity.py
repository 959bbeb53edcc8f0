"""Sites where we cannot choose identities, and calls that take effect late: what the provider does, and does not, about them."""

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


def test_every_request_makes_a_machine_unless_it_names_one(tagged):
    ((_, first),) = tagged.provider.boot(boot_request(tagged, "a"))
    ((_, second),) = tagged.provider.boot(boot_request(tagged, "a"))
    assert first != second
    assert tagged.provider.boot(boot_request(tagged, "a", site_id=first)) == (("id", first),)
    assert [seen.made for seen in tagged.observed().nodes] == sorted(seen.made for seen in tagged.observed().nodes)
    assert len(there(tagged)) == 2


def test_a_named_machine_that_is_gone_is_made(tagged):
    tagged.provider.boot(boot_request(tagged, "a", site_id="m-99"))
    assert len(there(tagged)) == 1


def test_a_token_makes_one_machine(tokened):
    assert tokened.provider.boot(boot_request(tokened, "a")) == tokened.provider.boot(boot_request(tokened, "a"))
    assert len(there(tokened)) == 1
    tokened.provider.boot(boot_request(tokened, "b"))
    assert len(there(tokened)) == 2


def test_a_token_stands_for_one_request(tokened):
    ((_, site_id),) = tokened.provider.boot(boot_request(tokened, "a"))
    with pytest.raises(SiteError, match="The token was used for another request"):
        tokened.provider.boot(boot_request(tokened, "a", cpus=9))
    tokened.provider.boot(boot_request(tokened, "a", cpus=9, site_id=site_id))
    assert [seen.cpus for seen in tokened.observed().nodes] == [9], "a machine that is named is changed in place"


def test_only_what_the_creation_made_is_removed(tagged):
    for op in ("a", "a", "b"):
        tagged.provider.boot(boot_request(tagged, op))
    tagged.provider.shutdown(tagged.node(), marked(tagged, "a"), 0.0)
    assert [status for _, _, status in there(tagged)] == ["off", "off", "running"]
    tagged.provider.clean(tagged.node(), marked(tagged, "a"))
    assert [op for op, _, _ in there(tagged)] == ["b"]


def test_surplus_goes_by_its_id_and_only_with_its_op(tagged):
    ((_, first),) = tagged.provider.boot(boot_request(tagged, "a"))
    ((_, second),) = tagged.provider.boot(boot_request(tagged, "a"))
    assert tagged.provider.abilities.duplicate_removal is not None
    tagged.provider.remove_duplicate(second, marked(tagged, "b"))
    tagged.provider.remove_duplicate(second, replace(marked(tagged, "a"), lineage=OTHER))
    assert len(there(tagged)) == 2
    tagged.provider.remove_duplicate(second, marked(tagged, "a"))
    assert [site_id for _, site_id, _ in there(tagged)] == [first]
    tagged.provider.remove_duplicate(second, marked(tagged, "a"))


def test_a_late_claim_and_a_late_image_go_too(stack):
    stack.prepare()
    (granted,) = stack.observed().allocations
    stack.provider.remove_duplicate(granted.id, stack.mark(stack.allocation))
    stack.provider.remove_duplicate(stack.image.digest, stack.mark(stack.image))
    assert (stack.observed().allocations, stack.observed().images) == ((), ())


def test_where_we_choose_identities_a_boot_says_whose_the_machine_is_now(stack):
    stack.prepare()
    stack.provider.boot(boot_request(stack, "a"))
    assert stack.provider.boot(boot_request(stack, "b")) == ()
    assert [op for op, _, _ in there(stack)] == ["b"]
    stack.provider.clean(stack.node(), marked(stack, "a"))
    assert len(there(stack)) == 1, "a removal that comes late is of what was there before"
    stack.provider.clean(stack.node(), marked(stack, "b"))
    assert there(stack) == []


def test_a_claim_that_was_made_anew_is_not_given_back_by_a_late_removal(stack):
    for op in ("a", "b"):
        stack.provider.allocate(stack.allocation, replace(stack.mark(stack.allocation), op=op))
    stack.provider.clean(stack.allocation, replace(stack.mark(stack.allocation), op="a"))
    assert [granted.op for granted in stack.observed().allocations] == ["b"]


def test_another_build_is_not_touched(stack):
    stack.prepare().boot()
    with pytest.raises(SiteConflictError, match="Another build of the node is at the site"):
        stack.boot(generation=1)
    stack.provider.clean(stack.node(), stack.mark(stack.node(), 1))
    assert there(stack) == [], "a removal takes earlier builds with it"
    stack.boot(generation=1)
    stack.provider.clean(stack.node(), stack.mark(stack.node()))
    assert len(there(stack)) == 1, "but no later one"

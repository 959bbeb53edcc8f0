"""Sites of providers of other packages in specs: validated with positions, expanded to plain values, described by the schema."""

import json
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from pragmaspec.delivery import Delivery
from pragmaspec.errors import SpecError
from pragmaspec.frozen import Frozen
from pragmaspec.networking import Networking
from pragmaspec.planning.expand import expand
from pragmaspec.site import ExternalSite, Site
from pragmaspec.spec.json_schema import schema_text, sites_schema_text
from pragmaspec.spec.loader import load_spec
from tests.plugin_package import DESCRIPTION, OPTIONS, install

SPEC = """\
sites:
  lab:
    provider: paper
    root: /srv/paper
    vlans: 20-29
clusters: {}
"""


class PaperOptions(Frozen, frozen=True):
    root: str
    slots: int
    label: str
    directory: str


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def loaded(directory: Path, text: str = SPEC, sites: str | None = None):
    (directory / "cluster.yaml").write_text(text)
    if sites is not None:
        (directory / "sites.yaml").write_text(sites)
    return load_spec(directory / "cluster.yaml", user_config=directory / "config", home=directory, agent="")


def problems(directory: Path, text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(SpecError) as caught:
        loaded(directory, text)
    return [(each.summary, f"{each.where.line}:{each.where.column}", each.detail) for each in caught.value.problems if each.where]


def test_a_site_becomes_a_plain_value(packages: Path) -> None:
    install(packages)
    (site,) = expand(loaded(packages), {}).sites
    assert isinstance(site, ExternalSite)
    assert (site.plugin, site.vlans, site.late_effects) == ("paper", ((20, 29),), False)
    assert site.options == f'{{"directory":"{packages}","label":"","root":"/srv/paper","slots":4}}'
    assert site.read_options(PaperOptions) == PaperOptions(root="/srv/paper", slots=4, label="", directory=str(packages))
    assert msgspec.json.decode(msgspec.json.encode(site), type=Site) == site


def test_late_effects_are_declared_by_the_description(packages: Path) -> None:
    install(packages, description=DESCRIPTION.replace("api=1", "api=1, completes_late=True"))
    assert expand(loaded(packages), {}).sites[0].completes_late


BY_OPTIONS = OPTIONS.replace(
    "def plain_options",
    """def networking(self, declared):
            from msgspec.structs import replace
            return replace(declared, router=True, frontend_offset=self.slots)

        def delivery(self, declared):
            from msgspec.structs import replace
            return replace(declared, files=False)

        def late_values(self, declared):
            return (*declared, "public")

        def plain_options""",
)
CLOUD = DESCRIPTION.replace("import ProviderDescription", "import Networking, ProviderDescription").replace(
    "api=1", 'api=1, networking=Networking(vlans=False), late_values=("macs",)'
)


def test_declarations_are_those_of_the_description_unless_the_options_change_them(packages: Path) -> None:
    install(packages, description=CLOUD)
    text = SPEC.replace("    vlans: 20-29\n", "")
    (site,) = expand(loaded(packages, text), {}).sites
    assert (site.networking, site.vlans, site.late_values) == (Networking(vlans=False), (), ("macs",))
    assert site.delivery == Delivery(seed=True, files=True)


def test_the_options_can_change_declarations(packages: Path) -> None:
    install(packages, description=CLOUD, options=BY_OPTIONS)
    (site,) = expand(loaded(packages, SPEC.replace("    vlans: 20-29\n", "")), {}).sites
    assert site.networking == Networking(vlans=False, router=True, frontend_offset=4)
    assert (site.delivery, site.late_values) == (Delivery(seed=True), ("macs", "public"))


def test_vlans_of_a_site_without_them_have_a_position(packages: Path) -> None:
    install(packages, description=CLOUD)
    found = problems(packages, SPEC)
    assert [(summary, position) for summary, position, _ in found] == [("No VLAN numbers at the site", "5:12")]


def test_declarations_that_cannot_be_made_are_reported(packages: Path) -> None:
    install(packages, options=BY_OPTIONS)
    text = SPEC.replace("    vlans: 20-29\n", "    slots: 1\n")
    found = loaded(packages, text)
    with pytest.raises(SpecError, match=r"cluster.yaml:3:15: Provider cannot be used: .* frontend_offset must be 2 to 9, is 1"):
        expand(found, {})


def test_options_that_are_no_json_are_reported(packages: Path) -> None:
    install(packages, options=OPTIONS.replace("str(directory)", "directory"))
    with pytest.raises(SpecError, match=r"cluster.yaml:3:15: Provider cannot be used: .* PosixPath is not JSON serializable"):
        expand(loaded(packages), {})


def test_a_site_may_be_in_a_sites_file(packages: Path) -> None:
    module = install(packages)
    found = loaded(packages, "clusters: {}\n", sites=SPEC.removesuffix("clusters: {}\n"))
    assert found.plugins["lab"].package == "paper-clusters 1.2"
    assert found.model.sites["lab"].root == "/srv/paper"
    watched = {Path(file).name for file, digest in found.plugin_files if digest}
    assert watched == {"METADATA", "entry_points.txt", f"{module}_options.py"}


def test_mistakes_in_the_options_have_positions(packages: Path) -> None:
    install(packages)
    text = SPEC.replace("/srv/paper", "relative").replace("20-29", "20-9999\n    slots: 10\n    lable: x\n    label: too-long")
    assert problems(packages, text) == [
        ("Invalid value", "4:11", "`relative` is not valid here; write an absolute path."),
        ("Number out of range", "5:12", "9999 exceeds 4094, the largest VLAN number; write a smaller one."),
        ("Number out of range", "6:12", "Write a number from 1 to 9."),
        ("Unknown key", "7:5", "`lable` is not a valid key here. Did you mean `label`?"),
        ("Invalid value", "8:12", "`too-long` is not valid here: String should have at most 5 characters."),
    ]


def test_a_missing_key_of_the_provider_is_reported(packages: Path) -> None:
    install(packages)
    assert problems(packages, SPEC.replace("    root: /srv/paper\n", "")) == [
        ("Key missing", "2:3", "`root` is required. Write, for example, `root: /srv`.")
    ]


def test_an_unusable_provider_has_the_position_of_its_name(packages: Path) -> None:
    install(packages, options="import absent_module")
    ((summary, place, detail),) = problems(packages, SPEC)
    assert (summary, place) == ("Provider cannot be used", "3:15")
    assert "failed: ModuleNotFoundError: No module named 'absent_module'" in detail


def test_options_must_be_a_model_of_a_site(packages: Path) -> None:
    module = install(packages, options="class Options: pass")
    ((summary, place, detail),) = problems(packages, SPEC)
    assert (summary, place) == ("Provider cannot be used", "3:15")
    assert f"{module}_options:Options is not a subclass of SiteOptions" in detail


def test_specs_without_the_provider_do_not_import_it(packages: Path) -> None:
    install(packages, description="raise AssertionError", options="raise AssertionError")
    assert loaded(packages, SPEC.replace("paper\n    root: /srv/paper", "simulated")).plugins == {}


def test_schemas_contain_installed_providers_on_request(packages: Path) -> None:
    install(packages)
    spec = {"sites": {"lab": {"provider": "paper", "root": "/srv"}}}
    for text in (schema_text(installed=True), sites_schema_text(installed=True)):
        schema = json.loads(text)
        assert schema["$defs"]["Options"]["description"] == "A site of machines that are made of paper."
        assert Draft202012Validator({**schema, "required": []}).is_valid(spec)
    assert not Draft202012Validator({**json.loads(schema_text()), "required": []}).is_valid(spec)


def test_a_broken_provider_is_reported_instead_of_a_schema_without_it(packages: Path) -> None:
    install(packages, options=OPTIONS.replace("SiteOptions)", "Absent)"))
    with pytest.raises(SpecError, match="NameError: name 'Absent' is not defined"):
        schema_text(installed=True)

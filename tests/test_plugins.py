"""Providers of other packages: found by entry point, imported only when needed, and reported when they cannot be used."""

from pathlib import Path

import pytest

from pragmaspec.errors import PlanError, SiteError
from pragmaspec.plugins import BUILT_IN, find_plugin, installed_names, load_class, reporting
from pragmaspec.providers.registry import open_provider
from pragmaspec.site import ExternalSite, SimulatedSite
from tests.plugin_package import DESCRIPTION, install

SITE = ExternalSite(name="lab", plugin="paper")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of ``sys.path``."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def failure(site: ExternalSite = SITE) -> tuple[str, str]:
    with pytest.raises(SiteError) as caught:
        open_provider(site)
    (problem,) = caught.value.problems
    return problem.summary, problem.detail


def test_a_provider_of_another_package_is_opened(packages: Path) -> None:
    module = install(packages)
    provider = open_provider(SITE)
    assert (type(provider).__module__, provider.site) == (f"{module}_provider", SITE)  # type: ignore[attr-defined]


def test_a_plugin_has_the_metadata_files_of_its_package(packages: Path) -> None:
    install(packages)
    plugin = find_plugin("paper")
    assert plugin.package == "paper-clusters 1.2"
    info = packages / "paper_clusters-1.2.dist-info"
    assert sorted(plugin.files) == [str(info / "METADATA"), str(info / "entry_points.txt")]


def test_installed_names_begin_with_the_built_in_ones(packages: Path) -> None:
    install(packages, "a-paper")
    assert [name for name in installed_names() if name in {"libvirt", "simulated", "a-paper"}] == [
        "libvirt",
        "simulated",
        "a-paper",
    ]


def test_a_package_cannot_replace_a_built_in_provider(packages: Path) -> None:
    install(packages, "simulated", provider="raise AssertionError")
    assert find_plugin("simulated").description is BUILT_IN["simulated"]
    assert installed_names().count("simulated") == 1


def test_an_absent_provider_is_an_error_that_names_the_installed_ones(packages: Path) -> None:
    summary, detail = failure()
    assert summary == "Unknown provider"
    assert detail.startswith("Site lab uses the provider `paper`, which is not installed. Installed are `")
    assert "entry point in the group `pragmaspec.providers`" in detail
    install(packages, "papers")
    assert failure()[1] == "Site lab uses the provider `paper`, which is not installed. Did you mean `papers`?"


def test_two_packages_with_one_provider_are_refused(packages: Path) -> None:
    install(packages)
    install(packages, package="other-clusters", version="3")
    assert failure() == (
        "Two packages with one provider",
        "The provider paper is in the packages other-clusters 3 and paper-clusters 1.2. Uninstall all but one of them.",
    )


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("description = (", "SyntaxError: '(' was never closed"),
        ("other = 1", "AttributeError: module '{module}' has no attribute 'description'"),
        ("description = 'text'", "{module}:description is not a ProviderDescription"),
        (DESCRIPTION.replace("api=1, ", ""), "TypeError: Missing required argument 'api'"),
    ],
)
def test_a_broken_description_is_reported(packages: Path, description: str, reason: str) -> None:
    module = install(packages, description=description)
    summary, detail = failure()
    assert summary == "Provider cannot be used"
    assert detail.startswith(f"The provider paper of the package paper-clusters 1.2 failed: {reason.replace('{module}', module)}")
    assert detail.endswith("Install another version of the package, or report this to its authors.")


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("Other = 1", "has no attribute 'Provider'"),
        ("def Provider(): pass", "TypeError: Provider() takes 0 positional arguments but 1 was given"),
    ],
)
def test_a_broken_provider_is_reported(packages: Path, provider: str, reason: str) -> None:
    install(packages, provider=provider)
    summary, detail = failure()
    assert summary == "Provider cannot be used"
    assert reason in detail


@pytest.mark.parametrize(("api", "newer"), [(2, "pragmaspec"), (0, "the package")])
def test_another_version_of_the_interface_is_refused(packages: Path, api: int, newer: str) -> None:
    install(packages, description=DESCRIPTION.replace("api=1", f"api={api}"), provider="raise AssertionError")
    summary, detail = failure()
    assert summary == "Provider for another version of pragmaspec"
    assert detail == (
        f"The provider paper of the package paper-clusters 1.2 was written for version {api} of the provider interface, and this "
        f"pragmaspec has version 1. Install a newer version of {newer}."
    )


def test_a_missing_library_is_named_with_its_install_command(packages: Path) -> None:
    libraries = "api=1, libraries=(('absent_module', 'absent>=2'),)"
    install(packages, description=DESCRIPTION.replace("api=1", libraries), provider="import absent_module")
    assert failure() == (
        "A provider's library is not installed",
        "Site lab uses the provider paper, which needs the Python module absent_module. Install it with: pip install 'absent>=2'",
    )


def test_errors_for_users_pass_unchanged(packages: Path) -> None:
    install(packages, provider="from pragmaspec.errors import PlanError\ndef Provider(site): raise PlanError('No paper')")
    with pytest.raises(PlanError, match="No paper"):
        open_provider(SITE)


def test_a_bug_of_pragmaspec_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), reporting("simulated", ""):
        _ = 1 / 0
    with pytest.raises(AttributeError):
        load_class(find_plugin("simulated"), "pragmaspec.site:Absent", "lab")


def test_only_external_sites_have_text_options() -> None:
    assert SITE.provider_name == "paper"
    assert SimulatedSite(name="lab").provider_name == "simulated"
    assert (SITE.completes_late, ExternalSite(name="lab", plugin="paper", late_effects=True).completes_late) == (False, True)

"""Golden plans, one directory each under ``tests/cases/plan``; adding a case needs no Python.

spec.yaml      the spec                            before.yaml   the spec applied earlier, from which state.json is made
earlier.yaml   the spec applied before that
state.json     the recorded state (default: empty) records.json  changed records of state.json: {address: {fields}}
images.json    changed images: {name: {version, digest_of, size_mib, virtual_gib, cloud_init}}
at.json        images that live at a site: {"name at site": {SiteImage}}; at_before.json: those of before.yaml
at_now.json    the same at apply time by id: {"id at site": {changed fields} or null if gone}
copies.json    public copies of images: {name: {PublicCopy}}
site.json      {site: {inventory: {fields}, nodes|allocations|volumes: {address: {fields} or null if missing}, asked: false,
                stored: [{StoredImage}], image_parts: [{ObservedImage}], store: "pool default"}}
request.json   a PlanRequest                       plan.txt      the human-readable plan

Cases called ``external-…`` may use the provider in ``examples/provider``.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pragmaspec.errors import PlanError, PlanRefusedError, UsageError
from pragmaspec.planning.expand import expand, images_needed, site_images_needed
from pragmaspec.planning.images.prune import prune_sites
from pragmaspec.planning.images.routes import with_routes
from pragmaspec.planning.images.site_images import needed_site_images, site_image_problems, wanted_site_image
from pragmaspec.planning.observed import Inventory, Observations, SiteImage, StoredImage
from pragmaspec.planning.planner import make_plan, sites_booting_nodes, sites_needing_inventory
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import PublicCopy, Wanted
from pragmaspec.report.plan.text import plan_text
from pragmaspec.report.problems_text import problems_text
from pragmaspec.resources import StagedImage
from pragmaspec.spec.loader import load_spec
from pragmaspec.state.snapshot import Snapshot, decode_snapshot, encode_snapshot
from pragmaspec.state_model import State
from tests.planning.builders import EMPTY, IDENTITY, ROOMY, applied, image, observed, planned, with_moves
from tests.plugin_package import install_example

CASES = Path(__file__).parents[1] / "cases" / "plan"
HOME = Path(__file__).parent / "home"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_plan_matches_the_golden_file(
    case: str, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(CASES / case)
    if case.startswith("external-"):
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.syspath_prepend(install_example(tmp_path))
    spec = _wanted("spec.yaml", _json("images.json"), "at.json")
    if Path("before.yaml").exists():
        earlier = (
            applied(planned(_wanted("earlier.yaml", {}, "at_before.json")), EMPTY) if Path("earlier.yaml").exists() else EMPTY
        )
        before = applied(planned(_wanted("before.yaml", {}, "at_before.json"), earlier), earlier)
        golden(CASES / case / "state.json", encode_snapshot(Snapshot(state=_overridden(before))).decode())
    state = EMPTY
    if Path("state.json").exists():
        state = decode_snapshot(Path("state.json").read_bytes(), "state.json").state
    golden(CASES / case / "plan.txt", _text(spec, state, msgspec.convert(_json("request.json"), PlanRequest)))


def _text(spec: Wanted, state: State, request: PlanRequest) -> str:
    message = _json("site.json")
    names = {site.name for site in (*spec.sites, *state.sites)}
    observations = {
        name: _sight(observed(with_moves(spec, state), name), message.get(name, {}))
        for name in names
        if message.get(name, {}).get("asked", True)
    }
    try:
        asked = sites_needing_inventory(spec, state, request)
        inventories = {name: _merged(ROOMY, Inventory, message.get(name, {}).get("inventory", {})) for name in asked}
        stored = {
            name: msgspec.convert(message.get(name, {}).get("stored", ()), tuple[StoredImage, ...])
            for name in prune_sites(spec, state, request)
        }
        plan = make_plan(spec, state, observations, inventories, request, stored)
        if sites_booting_nodes(plan) - inventories.keys():
            inventories |= {
                name: _merged(ROOMY, Inventory, message.get(name, {}).get("inventory", {})) for name in sites_booting_nodes(plan)
            }
            plan = make_plan(spec, state, observations, inventories, request, stored)
        missing = tuple(site_image_problems(((image, _now(image)) for image in needed_site_images(plan, state)), spec))
        if missing:
            raise PlanError.of(missing)
        copies = msgspec.convert(_json("copies.json"), dict[str, PublicCopy])
        by_digest = {each.digest: copies.get(each.name) for each in spec.images}
        return plan_text(with_routes(plan, by_digest.get, state), width=110, colour=False)
    except (PlanError, PlanRefusedError, UsageError) as error:
        return problems_text(error.problems, width=110, colour=False)


def _wanted(file: str, versions: dict[str, Any], at_sites: str) -> Wanted:
    loaded = load_spec(Path(file), user_config=HOME, home=HOME)
    images = {name: image(name, **versions.get(name, {})) for name in images_needed(loaded)}
    described = {key: msgspec.convert(fields, SiteImage) for key, fields in _json(at_sites).items()}
    there = [
        wanted_site_image(name, site, IDENTITY.id, described[f"{name} at {site}"], loaded.model.images[name].firmware)
        for name, site in site_images_needed(loaded)
    ]
    return expand(loaded, images, there)


def _now(staged: StagedImage) -> SiteImage | None:
    """Return a site's image as it is now: by default as it was pinned."""
    fields = _json("at_now.json").get(f"{staged.site_image} at {staged.site}", {})
    same = {"id": staged.site_image, "name": staged.site_name, "checksum": staged.checksum, "virtual_size_bytes": 1}
    return None if fields is None else msgspec.convert({**same, **fields}, SiteImage)


def _json(file: str) -> dict[str, Any]:
    return json.loads(Path(file).read_text(encoding="utf-8")) if Path(file).exists() else {}


def _overridden(state: State) -> State:
    changes = _json("records.json")
    removed = [address for address, fields in changes.items() if fields is None]
    changed = {record.address: _merged(record, type(record), changes.get(record.address) or {}) for record in state.records}
    return state.with_records(changed.values(), removed)


def _sight(as_recorded: Observations, message: dict[str, Any]) -> Observations:
    seen = msgspec.to_builtins(as_recorded)
    for kind in ("nodes", "allocations", "volumes"):
        entries = {entry["address"]: entry for entry in seen.get(kind, ())}
        for address, fields in message.get(kind, {}).items():
            entries[address] = None if fields is None else {**entries.get(address, {"address": address}), **fields}
        seen[kind] = [entry for entry in entries.values() if entry]
    whole = {name: message[name] for name in ("images", "image_parts", "store") if name in message}
    return msgspec.convert({**seen, **whole}, Observations)


def _merged(value: Any, kind: type, fields: dict[str, Any]) -> Any:
    plain = msgspec.to_builtins(value)
    resource = {**plain["resource"], **fields["resource"]} if "resource" in fields else plain.get("resource")
    return msgspec.convert({**plain, **fields, **({"resource": resource} if resource else {})}, kind)

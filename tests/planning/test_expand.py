"""Expansion of a spec: defaults, units, merging, source lines, digests."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace
from ruamel.yaml import YAML

from pragmaspec.errors import SpecError, Where
from pragmaspec.planning.expand import expand, images_named, images_needed, site_images_named, site_images_needed
from pragmaspec.planning.wanted import Move, Wanted, WantedImage, WantedNetwork
from pragmaspec.resources import Blob, Readiness
from pragmaspec.site import Fault, LibvirtSite, Overcommit, PublicNetwork, Reserve, SimulatedHost, SimulatedSite
from pragmaspec.spec.fields.user_data import merged
from pragmaspec.spec.json_schema import schema_text
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.loader import load_spec

EXAMPLES = Path(__file__).parents[2] / "examples" / "specs"
GIB = 2**30
HEAD = "images: {d: {build: {debian: bookworm}}}\nsites: {lab: {provider: libvirt}}\nclusters:\n"


def image(name: str, digest: str = "a" * 64) -> WantedImage:
    return WantedImage(
        name=name,
        origin="a test",
        digest=digest,
        format="qcow2",
        disk=Blob(sha256=digest, size_bytes=1),
        virtual_size_bytes=2 * GIB,
    )


def load(file: Path) -> LoadedSpec:
    return load_spec(file, user_config=file.parent / "no-config", home=file.parent / "no-home")


def expanded(file: Path) -> Wanted:
    loaded = load(file)
    at_sites = [replace(image(name), site=site, site_image="img-1") for name, site in site_images_needed(loaded)]
    return expand(loaded, {name: image(name) for name in images_needed(loaded)}, at_sites)


def written(directory: Path, text: str) -> Path:
    file = directory / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "file", [*sorted(EXAMPLES.glob("*.yaml")), EXAMPLES / "travelling" / "cluster.yaml"], ids=lambda file: file.stem
)
def test_examples_expand(file: Path) -> None:
    found = expanded(file)
    assert found.clusters
    for cluster in found.clusters:
        assert found.site(cluster.site) is not None
        assert {cluster.frontend.image, cluster.computes.image} <= {one.name for one in found.images}


def test_hello_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    found = expanded(Path("hello.yaml"))
    assert found.spec_file == "hello.yaml"
    assert found.sites == (LibvirtSite(name="lab"),)
    assert found.image("debian-12").where == Where(file="hello.yaml", line=2, column=3)
    (hello,) = found.clusters
    assert (hello.frontend.count, hello.frontend.memory_mib, hello.frontend.where) == (
        1,
        1024,
        Where(file="hello.yaml", line=11, column=5),
    )
    assert (hello.computes.count, hello.computes.cpus, hello.computes.where) == (
        2,
        1,
        Where(file="hello.yaml", line=12, column=5),
    )
    assert (hello.public.kind, hello.cidr, hello.vlan, hello.running, hello.readiness) == ("pool", None, None, True, Readiness())


def test_full_example() -> None:
    found = expanded(EXAMPLES / "full.yaml")
    assert [site.name for site in found.sites] == ["annex", "burst", "campus", "cloud", "eucalyptus", "lab"]
    assert found.sites[5:] == (
        LibvirtSite(
            name="lab",
            public=PublicNetwork(
                network="default",
                addresses=("192.168.122.10", "192.168.122.20-192.168.122.40"),
                prefix=24,
                gateway="192.168.122.1",
                dns=("192.168.122.1",),
                names=(("192.168.122.10", "vc1.example.org"),),
            ),
            vlans=((20, 99), (120, 120)),
            reserve=Reserve(cpus=2, memory_mib=4096),
            overcommit=Overcommit(cpus=2.0, memory=1.0, disk=5.0),
            virt_type="kvm",
            devices=(("gpu", ("10de:20b0",)), ("ib", ("0000:81:00.1", "0000:81:00.2"))),
        ),
    )
    physics = found.cluster("physics")
    assert physics is not None
    assert (physics.frontend.image, physics.computes.image) == ("debian-12", "from-file")
    assert (physics.frontend.disk_bytes, physics.computes.disk_bytes) == (40 * GIB, 20 * 10**9)
    assert (physics.frontend.wait_for, physics.computes.wait_for) == ((), ("frontend",))
    assert [(disk.name, disk.mount, disk.keep, disk.volume) for disk in physics.frontend.disks] == [("home", "/home", True, "")]
    assert [(disk.name, disk.format, disk.keep) for disk in physics.computes.disks] == [("scratch", "xfs", False)]
    assert physics.frontend.packages == ("openmpi-bin", "nfs-kernel-server")
    assert (physics.public.kind, physics.public.address) == ("address", "192.168.122.10")
    assert (physics.cidr, physics.vlan, physics.mtu) == ("10.22.0.0/24", 22, 9000)
    file = str(EXAMPLES / "full.yaml")
    lines = (EXAMPLES / "full.yaml").read_text(encoding="utf-8").splitlines()
    networks_at = next(number for number, line in enumerate(lines, start=1) if line.startswith("    networks:"))
    assert physics.networks == (
        WantedNetwork(
            name="storage",
            cidr="192.168.70.0/24",
            bridge="br70",
            roles=("frontend", "compute", "gpu"),
            mtu=9000,
            where=Where(file=file, line=networks_at + 1, column=7),
        ),
        WantedNetwork(
            name="ipmi", cidr="192.168.71.0/24", roles=("frontend",), where=Where(file=file, line=networks_at + 2, column=7)
        ),
    )
    assert physics.readiness == Readiness(when="cloud-init", timeout_s=900)
    assert physics.protect
    assert [key.rpartition(" ")[2] for key in physics.ssh_keys] == ["ada@example.org", "grace@example.org"]
    (gpu,) = [nodes for name, nodes in physics.sets if name == "gpu"]
    assert [(gpu.at(index).memory_mib // 1024, gpu.at(index).devices) for index in (0, 1)] == [
        (128, (("gpu", 2), ("ib", 1))),
        (64, (("gpu", 1),)),
    ]
    burst = found.cluster("burst")
    assert burst is not None
    assert [each.site_image for each in found.images_of(burst)] == ["img-1"]
    workshop = found.cluster("workshop")
    assert workshop is not None
    assert (workshop.running, workshop.computes.count) == (False, 0)
    assert found.moves == (
        Move(before="chemistry", after="physics", where=Where(file=file, line=12, column=5)),
        Move(before="basement", after="lab", kind="site", where=Where(file=file, line=13, column=5)),
    )


EVERY = object()
"""Stands for a value with every key."""


def keys(part: Any, definitions: Any, value: Any = EVERY) -> set[tuple[str, str]]:
    """Return the keys of ``value`` that ``part`` of a JSON Schema describes, each with its own schema: models may share a key."""
    if value is not EVERY and not Draft202012Validator({**part, "$defs": definitions}).is_valid(value):
        return set()
    found, below = set(), [(each, value) for each in (*part.get("anyOf", ()), *part.get("oneOf", ()))]
    if "$ref" in part:
        below.append((definitions[part["$ref"].rpartition("/")[2]], value))
    for key, place in part.get("properties", {}).items():
        if value is EVERY or key in value:
            found.add((key, json.dumps(place, sort_keys=True)))
            below.append((place, EVERY if value is EVERY else value[key]))
    for pattern, place in part.get("patternProperties", {}).items():
        named = [EVERY] if value is EVERY else [item for key, item in value.items() if re.search(pattern, key)]
        below += [(place, item) for item in named]
    if "items" in part:
        below += [(part["items"], item) for item in ([EVERY] if value is EVERY else value)]
    return found.union(*(keys(place, definitions, item) for place, item in below))


def test_the_full_example_has_every_key() -> None:
    schema = json.loads(schema_text())
    (site,) = schema["properties"]["sites"]["patternProperties"].values()
    simulated = site["discriminator"]["mapping"]["simulated"].rpartition("/")[2]
    others = {**schema["$defs"], simulated: {}}
    document = YAML(typ="safe", pure=True).load(EXAMPLES / "full.yaml")
    missing = keys(schema, others) - keys(schema, schema["$defs"], json.loads(json.dumps(document)))
    assert sorted(key for key, _ in missing) == []


def test_location_of_the_state_is_not_expanded(tmp_path: Path) -> None:
    text = "images: {d: {build: {debian: sid}}}\nclusters: {}\n"
    plain, elsewhere = written(tmp_path, text), written(tmp_path, text + "state: s3://clusters/hello\n")
    assert replace(expanded(elsewhere), spec_sha256="") == replace(expanded(plain), spec_sha256="")


def test_simulated_site(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(
        "sites:\n  s:\n    provider: simulated\n    file: ./pretended/site.json\n    latency: 50 ms\n    seed: 7\n"
        "    host: {cpus: 8, memory: 1 GiB, disk: 1 TiB}\n    public: {addresses: [192.0.2.1]}\n"
        "    faults: [{call: boot, kind: hang, match: x, nth: 2, delay: 5 s}]\n"
    )
    file = written(
        tmp_path, "images: {d: {build: {debian: sid}}}\nclusters: {a: {site: s, image: d, public: none, readiness: none}}\n"
    )
    found = expanded(file)
    assert found.sites == (
        SimulatedSite(
            name="s",
            public=PublicNetwork(network="default", addresses=("192.0.2.1",)),
            file=str(tmp_path / "pretended" / "site.json"),
            host=SimulatedHost(cpus=8, memory_mib=1024, disk_bytes=2**40),
            latency_s=0.05,
            faults=(Fault(call="boot", kind="hang", match="x", nth=2, delay_s=5.0),),
            seed=7,
        ),
    )
    assert found.clusters[0].public.kind == "none"


def test_expanded_sites_are_those_of_the_spec_and_used_ones(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(
        "sites: {far: {provider: libvirt}, lab: {provider: simulated}, used: {provider: simulated}}\n"
    )
    found = expanded(written(tmp_path, HEAD + "  a: {site: used, image: d}\n"))
    assert [(site.name, type(site)) for site in found.sites] == [("lab", LibvirtSite), ("used", SimulatedSite)]


def test_images_without_nodes_are_not_needed(tmp_path: Path) -> None:
    text = HEAD.replace("images: {", "images: {z: {build: {debian: sid}}, unused: {build: {debian: sid}}, ")
    loaded = load(
        written(
            tmp_path,
            text + "  a: {site: lab, frontend: {image: d}}\n  b: {site: lab, image: d, computes: {count: 1, image: z}}\n",
        )
    )
    assert images_needed(loaded) == ("z", "d")


@pytest.mark.parametrize(("size", "fine"), [("2 GiB", True), ("2 GB", False)])
def test_disk_smaller_than_its_image_is_refused(tmp_path: Path, size: str, fine: bool) -> None:
    file = written(tmp_path, HEAD + f"  a:\n    site: lab\n    image: d\n    computes: {{count: 1, disk: {size}}}\n")
    if fine:
        assert expanded(file).clusters[0].computes.disk_bytes == 2 * GIB
        return
    with pytest.raises(SpecError) as caught:
        expanded(file)
    (problem,) = caught.value.problems
    assert problem.where == Where(file=str(file), line=7, column=32)
    assert problem.quote == "    computes: {count: 1, disk: 2 GB}"
    assert problem.detail == "Image `d` needs a disk of 2 GiB. Write `disk: 2 GiB` or more, or omit `disk`."


def test_user_data_of_cluster_and_role_is_merged(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("#cloud-config\nruncmd: [a]\nntp: {enabled: true, servers: [x]}\ntimezone: UTC\n")
    found = expanded(
        written(
            tmp_path,
            HEAD + "  a:\n    site: lab\n    image: d\n    user_data: all.yaml\n"
            "    frontend: {user_data: {runcmd: [b], ntp: {servers: [y], pools: []}, timezone: Asia/Tokyo}}\n",
        )
    )
    cluster = found.clusters[0]
    assert YAML(typ="safe", pure=True).load(cluster.frontend.user_data) == {
        "ntp": {"enabled": True, "pools": [], "servers": ["x", "y"]},
        "runcmd": ["a", "b"],
        "timezone": "Asia/Tokyo",
    }
    assert cluster.computes.user_data.startswith("#cloud-config\n{")
    assert '"timezone": "UTC"' in cluster.computes.user_data


def test_equal_user_data_has_one_form(tmp_path: Path) -> None:
    texts = set()
    for document in ("{timezone: UTC, runcmd: [a]}", "{runcmd: ['a'], 'timezone': \"UTC\"}"):
        texts.add(
            expanded(written(tmp_path, HEAD + f"  a: {{site: lab, image: d, user_data: {document}}}\n"))
            .clusters[0]
            .frontend.user_data
        )
    assert len(texts) == 1


def test_digest_depends_on_contents_not_on_location(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        directory.mkdir()
        (directory / "data.yaml").write_text("#cloud-config\ntimezone: UTC\n")
    text = HEAD + "  a: {site: lab, image: d, user_data: data.yaml}\n"
    digest = expanded(written(one, text)).spec_sha256
    assert expanded(written(other, text)).spec_sha256 == digest
    loaded = load(one / "spec.yaml")
    assert expand(loaded, {"d": image("d", "b" * 64)}).spec_sha256 != digest
    (one / "sites.yaml").write_text("sites: {}\n")
    assert expanded(one / "spec.yaml").spec_sha256 != digest
    (other / "data.yaml").write_text("#cloud-config\ntimezone: CET\n")
    assert expanded(other / "spec.yaml").spec_sha256 != digest


def test_digest_includes_files_outside_the_spec_directory(tmp_path: Path) -> None:
    file = written(tmp_path, HEAD + "  a: {site: lab, image: d, user_data: {}}\n")
    before = expanded(file).spec_sha256
    (tmp_path / "no-config").mkdir()
    outside = load_spec(file, user_config=EXAMPLES / "travelling", home=tmp_path / "no-home")
    assert expand(outside, {"d": image("d")}).spec_sha256 != before


values = st.recursive(
    st.sampled_from((0, 1, "", "x")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=6,
)
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(documents, documents)
def test_merged_user_data_contains_both_documents(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = json.dumps([base, over])
    found = merged(base, over)
    assert json.dumps([base, over]) == before
    assert set(found) == set(base) | set(over)
    assert merged(base, {}) == base
    assert merged({}, over) == over
    for key, value in over.items():
        if isinstance(value, list):
            assert found[key][len(found[key]) - len(value) :] == value
        elif not isinstance(value, dict):
            assert found[key] == value


AT_SITES = """
images:
  u24: {at: {sim: Featured-Ubuntu24}, source: ./disk.qcow2}
sites: {sim: {provider: simulated}, lab: {provider: libvirt}}
clusters:
  there: {site: sim, image: u24, frontend: {disk: DISK, memory: 1 GiB}, computes: {count: 1, memory: 1 GiB, overrides: {0: {}}}}
  here: {site: lab, image: u24, frontend: {}, computes: {count: 0}}
"""


def at_sim(gib: int = 2, digest: str = "b" * 64) -> WantedImage:
    return replace(image("u24", digest), site="sim", site_image="img-1", virtual_size_bytes=gib * GIB)


def test_a_cluster_boots_the_image_of_its_site(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, AT_SITES.replace("DISK", "4 GiB")))
    assert (images_needed(loaded), site_images_needed(loaded)) == (("u24",), (("u24", "sim"),))
    assert (images_named(loaded), site_images_named(loaded)) == (("u24",), (("u24", "sim"),))
    found = expand(loaded, {"u24": image("u24")}, [at_sim()])
    there, here = found.clusters
    assert [each.site_image for each in found.images_of(there)] == ["img-1"]
    assert [each.site_image for each in found.images_of(here)] == [""]
    assert [each.where.column for each in found.images if each.where] == [3, 19]
    assert found.spec_sha256 != expand(loaded, {"u24": image("u24")}, [at_sim(digest="c" * 64)]).spec_sha256


def test_an_unresolved_image_of_a_site_is_unknown(tmp_path: Path) -> None:
    loaded = load_spec(written(tmp_path, AT_SITES.replace("DISK", "4 GiB")), need=frozenset({"here"}))
    assert site_images_needed(loaded) == ()
    found = expand(loaded, {"u24": image("u24")})
    assert found.image("u24", "sim").digest == ""
    assert "image" in found.clusters[0].unknown


def test_a_disk_smaller_than_the_image_of_its_site_is_refused(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, AT_SITES.replace("DISK", "4 GiB")))
    with pytest.raises(SpecError) as caught:
        expand(loaded, {"u24": image("u24")}, [at_sim(8)])
    assert [(each.summary, each.where.line if each.where else 0) for each in caught.value.problems] == [("Disk too small", 6)]

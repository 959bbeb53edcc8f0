"""The virtual clusters of a PRAGMA repository, for people and for programs."""

from collections.abc import Sequence

from pragmaspec.images.pragma.repository import ListedCluster
from pragmaspec.images.pragma.vc_in import ApplianceDisk, ApplianceMachine
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, Row, table
from pragmaspec.text import memory


def appliances_text(listed: Sequence[ListedCluster], pen: Style) -> str:
    """One line for each role of each cluster."""
    if not listed:
        return "The repository is empty.\n"
    rows = [row for one in listed for row in _rows(one)]
    return "".join(f"{line}\n" for line in table(("cluster", "role", "cpus", "memory", "disk", "bus", "notes"), rows, pen))


def appliances_json(listed: Sequence[ListedCluster], repository: str) -> JsonObject:
    """The same for programs."""
    return {
        "kind": "pragma-repository",
        "format": 1,
        "repository": repository,
        "clusters": [
            {
                "name": one.name,
                "path": one.path,
                "frontend": _machine_form(one.appliance.frontend if one.appliance else None),
                "compute": _machine_form(one.appliance.compute if one.appliance else None),
                "wait_s": one.appliance.wait_s if one.appliance else 0,
                "trouble": one.trouble or None,
            }
            for one in listed
        ],
    }


def _rows(one: ListedCluster) -> list[Row]:
    if one.appliance is None:
        return [(Cell(text=one.name, tone="bold"), *[Cell(text="")] * 5, Cell(text=one.trouble, tone="danger"))]
    rows: list[Row] = [(Cell(text=one.name, tone="bold"), *_cells(one.appliance.frontend), Cell(text=""))]
    if one.appliance.compute:
        wait = f"started {one.appliance.wait_s} s after the frontend" if one.appliance.wait_s else ""
        rows.append((Cell(text=""), *_cells(one.appliance.compute), Cell(text=wait)))
    return rows


def _cells(machine: ApplianceMachine) -> tuple[Cell, ...]:
    disk = machine.disk
    return (
        Cell(text=machine.role),
        Cell(text=str(machine.cpus), right=True),
        Cell(text=memory(machine.memory_mib) if machine.memory_mib else "", right=True),
        Cell(text=_disk_words(disk) if disk else "the frontend's"),
        Cell(text=disk.bus if disk else ""),
    )


def _disk_words(disk: ApplianceDisk) -> str:
    packed = {"raw": "", "gzip": ", gzip", "splited": ", split", "splited_gzip": ", split, gzip"}[disk.packing]
    return f"{disk.format}{packed}{f', {len(disk.files)} parts' if len(disk.files) > 1 else ''}"


def _machine_form(machine: ApplianceMachine | None) -> JsonObject | None:
    if machine is None:
        return None
    disk = machine.disk
    return {
        "cpus": machine.cpus,
        "memory_mib": machine.memory_mib or None,
        "disk": {"packing": disk.packing, "format": disk.format, "bus": disk.bus or None, "files": list(disk.files)}
        if disk
        else None,
    }

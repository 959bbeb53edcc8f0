"""The output of ``import``: the virtual clusters of a PRAGMA repository."""

from collections.abc import Sequence

from pragmaspec.images.pragma.repository import ListedCluster
from pragmaspec.images.pragma.vc_in import ApplianceDisk, ApplianceMachine
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, Row, lines_text, table
from pragmaspec.text import memory


def appliances_text(listed: Sequence[ListedCluster], style: Style) -> str:
    """Return a table with one row per role of each cluster."""
    if not listed:
        return "The repository is empty.\n"
    rows = [row for cluster in listed for row in _rows(cluster)]
    return lines_text(table(("cluster", "role", "cpus", "memory", "disk", "bus", "notes"), rows, style))


def appliances_json(listed: Sequence[ListedCluster], repository: str) -> JsonObject:
    """Return the document of a repository."""
    return {
        "kind": "pragma-repository",
        "format": 1,
        "repository": repository,
        "clusters": [
            {
                "name": cluster.name,
                "path": cluster.path,
                "frontend": _machine_json(cluster.appliance.frontend if cluster.appliance else None),
                "compute": _machine_json(cluster.appliance.compute if cluster.appliance else None),
                "wait_s": cluster.appliance.wait_s if cluster.appliance else 0,
                "trouble": cluster.trouble or None,
            }
            for cluster in listed
        ],
    }


def _rows(cluster: ListedCluster) -> list[Row]:
    appliance = cluster.appliance
    if appliance is None:
        return [(Cell(text=cluster.name, tone="bold"), *[Cell(text="")] * 5, Cell(text=cluster.trouble, tone="danger"))]
    rows: list[Row] = [(Cell(text=cluster.name, tone="bold"), *_cells(appliance.frontend), Cell(text=""))]
    if appliance.compute:
        wait = f"started {appliance.wait_s} s after the frontend" if appliance.wait_s else ""
        rows.append((Cell(text=""), *_cells(appliance.compute), Cell(text=wait)))
    return rows


def _cells(machine: ApplianceMachine) -> tuple[Cell, ...]:
    disk = machine.disk
    return (
        Cell(text=machine.role),
        Cell(text=str(machine.cpus), right=True),
        Cell(text=memory(machine.memory_mib) if machine.memory_mib else "", right=True),
        Cell(text=_disk_text(disk) if disk else "the frontend's"),
        Cell(text=disk.bus if disk else ""),
    )


def _disk_text(disk: ApplianceDisk) -> str:
    packing = {"raw": "", "gzip": ", gzip", "splited": ", split", "splited_gzip": ", split, gzip"}[disk.packing]
    return f"{disk.format}{packing}{f', {len(disk.files)} parts' if len(disk.files) > 1 else ''}"


def _machine_json(machine: ApplianceMachine | None) -> JsonObject | None:
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

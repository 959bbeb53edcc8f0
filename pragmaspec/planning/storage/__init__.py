"""Further disks of nodes, and volumes."""

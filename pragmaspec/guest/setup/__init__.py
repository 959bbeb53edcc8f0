"""Idempotent scripts that set up a guest: at the first boot, at every later boot, and after every live update."""

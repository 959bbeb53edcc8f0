"""Repetition of setup scripts that failed at the first boot. cloud-init would report their failure until the next boot."""

from pragmaspec.guest.setup.disks import DISKS_SCRIPT
from pragmaspec.guest.setup.users import USERS_SCRIPT

FAILURE_NOTE = "/run/pragmaspec-setup-failed"
"""Exists while a setup script has failed since the guest started."""

SETUP_FAILED = 3
"""Exit status of :data:`RETRY_SCRIPT` if a setup script has failed again."""

RETRY_SCRIPT = f"""\
if [ -e {FAILURE_NOTE} ]; then
  failed=0
  for script in {DISKS_SCRIPT} {USERS_SCRIPT}; do
    if [ -x "$script" ]; then "$script" >&2 || failed={SETUP_FAILED}; fi
  done
  if [ "$failed" = 0 ]; then rm -f {FAILURE_NOTE}; fi
  exit "$failed"
fi
"""
"""Lines for ``sh`` that run all setup scripts again if one has failed. Their messages go to standard error."""


def with_failure_noted(command: str) -> str:
    """Return a shell command that runs ``command``, succeeds in any case, and notes a failure for :data:`RETRY_SCRIPT`."""
    return f"{command} || : >{FAILURE_NOTE}"

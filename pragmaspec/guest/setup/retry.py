"""Repetition of setup scripts that failed at the first boot. cloud-init would report their failure until the next boot."""

from pragmaspec.guest.setup.node_setups import LIVE_PATHS
from pragmaspec.guest.setup.scripts import FAILURE_NOTE

SETUP_FAILED = 3
"""Exit status of :data:`RETRY_SCRIPT` if a setup script has failed again."""

RETRY_SCRIPT = f"""\
if [ -e {FAILURE_NOTE} ]; then
  failed=0
  for script in {LIVE_PATHS}; do
    if [ -x "$script" ]; then "$script" >&2 || failed={SETUP_FAILED}; fi
  done
  if [ "$failed" = 0 ]; then rm -f {FAILURE_NOTE}; fi
  exit "$failed"
fi
"""
"""Lines for ``sh`` that run the scripts of live updates again if one has failed. Their messages go to standard error."""

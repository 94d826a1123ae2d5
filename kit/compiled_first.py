"""Import this before everything else, and ``SQUALL_COMPILED=1`` gives the process its hot modules
compiled; without the variable it does nothing.

Why an import that acts: what decides where modules come from has to run before they are imported,
and imports stand at the top of a program. What can't be used ends the process as any wrong setting
does: one line and exit code 2, never sources in the place of what was asked for.
"""

import os
import sys

from kit.compiled import is_wanted, prefer_compiled
from kit.errors import ConfigError

try:
    if is_wanted(os.environ):
        prefer_compiled()
except ConfigError as error:
    sys.stderr.write(f"squall: {error}\n")
    sys.exit(error.exit_code)

"""A daemon whose PAM is libpam-wrapper: `python -m tests.acceptance.pam_daemon serve ...`.

python-pam asks the loader for libpam by its name and takes its functions from there, so the preloaded
wrapper alone is not met; here that name leads to the wrapper.
"""

import ctypes.util
import sys
from pathlib import Path

from dispatcher.cli import main

WRAPPERS = sorted(Path("/usr/lib").glob("*/libpam_wrapper.so"))
MATRIX = sorted(Path("/usr/lib").glob("*/pam_wrapper/pam_matrix.so"))


def program(folder: Path, users: str) -> tuple[str, ...]:
    """Give the command that starts such a daemon; `users` has lines of name:password:service."""
    database, services = folder / "passwords", folder / "services"
    database.write_text(users)
    services.mkdir()
    for service in ("login", "system"):
        lines = [f"{kind} required {MATRIX[0]} passdb={database}\n" for kind in ("auth", "account")]
        (services / service).write_text("".join(lines))
    variables = {
        "LD_PRELOAD": str(WRAPPERS[0]),
        "PAM_WRAPPER": "1",
        "PAM_WRAPPER_SERVICE_DIR": str(services),
        "PAM_WRAPPER_DEBUGLEVEL": "0",
    }
    words = [f"{name}={value}" for name, value in variables.items()]
    return ("env", *words, sys.executable, "-m", "tests.acceptance.pam_daemon")


if __name__ == "__main__":
    find_library = ctypes.util.find_library
    ctypes.util.find_library = lambda name: str(WRAPPERS[0]) if name == "pam" else find_library(name)
    sys.exit(main())

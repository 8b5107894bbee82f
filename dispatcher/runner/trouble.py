"""The small file where spawner and workers write down their own trouble: they have no stderr.

`state_dir/worker.log`, shared by all of them: whole lines, appended. When it has grown to `LIMIT`
it becomes `worker.log.old`, so both together stay small whatever happens.
"""

import os
import time

LIMIT = 256 * 1024


def note(state_dir: str, text: str) -> None:
    """Write one entry, with time and pid. Never raises: there is nobody left to tell."""
    path = f"{state_dir}/worker.log"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = f"{stamp} {os.getpid()} {text.rstrip()}\n".encode("utf-8", "replace")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(fd).st_size + len(entry) > LIMIT:
                # Two that do this at once lose an old entry at worst.
                os.replace(path, f"{path}.old")  # noqa: PTH105 (no pathlib for one name)
            os.write(fd, entry[:LIMIT])
        finally:
            os.close(fd)
    except OSError:
        return

"""Match regular expressions, in a process of its own: one that never ends can then be killed.

Executed by its path, with the standard library only. Each line in is JSON, [pattern, [text, ...]];
each line out is one digit for each text, or `!` and why the pattern cannot be matched.
"""

import json
import re
import resource
import sys
import warnings

# If nobody is left to kill this process, the system does.
CPU_SECONDS = 5
MEMORY_BYTES = 512 * 1024 * 1024


def answer(line: bytes) -> str:
    """Answer one line."""
    pattern, texts = json.loads(line)
    try:
        match = re.compile(pattern).match
        return "".join("1" if match(text) else "0" for text in texts)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        return "!" + (" ".join(str(error).split()) or "it needs too much memory")


def main() -> None:
    """Say that this process is ready, then answer until the end of the input."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    out = sys.stdout
    out.write("ready\n")
    out.flush()
    for line in sys.stdin.buffer:
        out.write(answer(line) + "\n")
        out.flush()


if __name__ == "__main__":
    main()

"""The command line: `dispatcher VERB`. It talks JSON-RPC to the daemon over its Unix socket.

A call must not cost more than a tenth of a second, so each part is imported only when it is needed,
and what a verb needs on its way to the daemon is in the standard library.
"""

from __future__ import annotations

import io
import os
import sys

from dispatcher.cli import exits
from dispatcher.cli.parser import parse
from dispatcher.errors import DispatcherError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one verb; return the exit status that `dispatcher --help` documents."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A log may hold characters that this terminal's encoding does not have.
            stream.reconfigure(errors="replace")
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        status: int = arguments.verb_function(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; Python must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exits.BROKEN_PIPE
    except DispatcherError as error:
        print(f"dispatcher: {error.sentence}", file=sys.stderr)
        return exits.of_error(error)
    return status

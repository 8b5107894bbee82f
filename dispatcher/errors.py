"""Every error that somebody may handle: a code for programs, a sentence for people.

The sentence says what cannot be done, why, and what to do next.
"""


class DispatcherError(Exception):
    """A request that cannot be done; nothing has been changed by it."""

    code = "error"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class InvalidRequest(DispatcherError):
    """The request itself is wrong: a shape, a type, a name that cannot be."""

    code = "invalid"


class NotFound(DispatcherError):
    """The job or queue that was named does not exist."""

    code = "not_found"


class Refused(DispatcherError):
    """A well-formed request that is not possible now: a key in use, a full queue."""

    code = "refused"


class NotAuthenticated(DispatcherError):
    """The caller is nobody: no login, a wrong one, or one that has ended."""

    code = "not_authenticated"


class Forbidden(DispatcherError):
    """The caller is known and may not do this."""

    code = "forbidden"


class StoreFailed(DispatcherError):
    """The store could not save or read; the request was not carried out."""

    code = "store_failed"


class SettingsError(DispatcherError):
    """A mistake in queues.yaml. The sentence begins with file, line and column; exit status 2."""

    code = "settings"


class UnusableStateDir(SettingsError):
    """A state_dir in which no socket can be made: nothing is wrong with the file; exit status 1."""

    code = "startup"


class StartupError(DispatcherError):
    """The daemon cannot start here: a taken port, a state directory in use; exit status 1."""

    code = "startup"

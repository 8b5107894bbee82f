"""Users of the system: which level their groups give them, and who they are by number.

Asks the system's name service, which may be slow: what asks is to be called in a thread, but for
`has_changed`.
"""

import grp
import os
import pwd
from pathlib import Path

from dispatcher.access.roles import Level
from dispatcher.core.model import Value
from dispatcher.settings import Auth

FILES = (Path("/etc/passwd"), Path("/etc/group"))


class SystemUser(Value, frozen=True):
    """A user and what it may do here."""

    name: str
    uid: int
    level: Level


class SystemUsers:
    """Root and members of the full groups may do all, members of the read groups may read."""

    def __init__(self, auth: Auth) -> None:
        self._full = frozenset(auth.full_groups)
        self._read = frozenset(auth.read_groups)
        self._seen = _stamps()

    def find(self, name: str) -> SystemUser | None:
        """Look a user up by its exact name; None if there is none."""
        if not name or "\0" in name:
            return None
        try:
            entry = pwd.getpwnam(name)
        except (KeyError, UnicodeError):
            return None
        # A name service may find 'Bob' and mean 'bob'; an account has one name here.
        return SystemUser(name, entry.pw_uid, self._level(entry)) if entry.pw_name == name else None

    def of_uid(self, uid: int) -> SystemUser | None:
        """Look a user up by number; None if there is none."""
        try:
            return self.find(pwd.getpwuid(uid).pw_name)
        except KeyError:
            return None

    def has_changed(self) -> bool:
        """Tell whether the system's files of users or groups are others than at the last call."""
        stamps = _stamps()
        changed, self._seen = stamps != self._seen, stamps
        return changed

    def _level(self, entry: pwd.struct_passwd) -> Level:
        if entry.pw_uid == 0:
            return Level.FULL
        groups = set()
        for gid in os.getgrouplist(entry.pw_name, entry.pw_gid):
            try:
                groups.add(grp.getgrgid(gid).gr_name)
            except KeyError:
                continue  # a group without a name gives nothing
        if groups & self._full:
            return Level.FULL
        return Level.READ if groups & self._read else Level.NOBODY


def _stamps() -> list[tuple[int, int, int] | None]:
    stamps: list[tuple[int, int, int] | None] = []
    for path in FILES:
        try:
            found = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_mtime_ns, found.st_ino, found.st_size))
    return stamps

"""The accounts file: one line per account, `name:level:scrypt$n$r$p$salt$hash`.

The file is trusted only if nobody but root and the daemon's user can read or write it. It is
read again when it has changed, so `dispatcher passwd` needs no restart; replaced in one go.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from dispatcher.access.files import require_private
from dispatcher.access.roles import Level
from dispatcher.access.shared_file import SharedFile
from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest, NotFound, SettingsError

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1
# A line may ask for more than we would; not for a gigabyte at each login.
_MAX_MEMORY = 256 * 1024 * 1024
_MAX_PASSWORD = 1024  # bytes
_LEVELS = {"full": Level.FULL, "read": Level.READ}


class Account(Value, frozen=True):
    """One line of the file."""

    name: str
    level: Level
    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def matches(self, password: str) -> bool:
        """Tell whether this is the password. Takes about 0.1 s and 32 MiB: call it in a thread."""
        given = password.encode("utf-8", "surrogatepass")
        found = _scrypt(given[:_MAX_PASSWORD], self.salt, self.n, self.r, self.p)
        return hmac.compare_digest(found, self.digest) and len(given) <= _MAX_PASSWORD


# Nobody's account: checking against it takes as long as a wrong password of somebody's.
NOBODYS = Account("", Level.NOBODY, SCRYPT_N, SCRYPT_R, SCRYPT_P, secrets.token_bytes(16), bytes(32))


class Accounts:
    """The accounts of one file. `on_changed` is called with each name whose line changed or is gone."""

    def __init__(self, path: Path) -> None:
        self.on_changed: Callable[[str], None] = lambda _name: None
        self._by_name: dict[str, Account] = {}
        self._file = SharedFile(
            path,
            _read,
            dict[str, Account],
            self._replace,
            what="the accounts",
            remedy="be root or the daemon's user, or set `accounts` to another file",
        )

    def load(self) -> None:
        """Read the file if it has changed; a missing file has no accounts.

        Raises SettingsError, and keeps what was known, if it cannot be trusted or understood.
        """
        self._file.load()

    def refresh(self) -> bool:
        """Load if the file has changed; False, with a line in the log, if that is not possible."""
        return self._file.refresh()

    @property
    def version(self) -> object:
        """Something that compares equal as long as the file, as last loaded, is the same."""
        return self._file.version

    def find(self, name: str) -> Account | None:
        """Give an account as last loaded."""
        return self._by_name.get(name)

    def names(self) -> tuple[tuple[str, Level], ...]:
        """Give name and level of every account, by name."""
        return tuple((name, self._by_name[name].level) for name in sorted(self._by_name))

    def set(self, name: str, level: Level, password: str) -> None:
        """Add an account or give it a new level and password. Takes 0.1 s."""
        _check_name(name)
        line = f"{name}:{_level_name(level)}:{_hashed(password)}\n"
        with self._file.alone():
            self._write(name, line)

    def delete(self, name: str) -> None:
        """Remove an account; NotFound if there is none."""
        with self._file.alone():
            if name not in self._by_name:
                raise NotFound(f"cannot remove account {name!r}: there is none in {self._file.path}")
            self._write(name, "")

    def _write(self, name: str, line: str) -> None:
        # The lines of others stay as they are, comments among them.
        lines = self._file.path.read_text("utf-8").splitlines(keepends=True) if self._file.version else []
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        others = [other for other in lines if other.split(":", 1)[0].strip() != name]
        self._file.write("".join([*others, line]))

    def _replace(self, accounts: dict[str, Account]) -> None:
        before, self._by_name = self._by_name, accounts
        for name, account in before.items():
            if accounts.get(name) != account:
                self.on_changed(name)


def _read(path: Path) -> dict[str, Account]:
    with path.open("rb") as file:
        # Asked of the open file: the path may name another one by now.
        require_private(path, os.fstat(file.fileno()), "the accounts", "set `accounts` to one")
        content = file.read()
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: cannot read the accounts: the file is not UTF-8") from error
    found = [
        _account(f"{path}:{number}:1", line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    return {account.name: account for account in found}


def _account(place: str, line: str) -> Account:
    try:
        name, level, hashed = line.strip().split(":")
        scheme, n, r, p, salt, digest = hashed.split("$")
        account = Account(
            name, _LEVELS[level], int(n), int(r), int(p), base64.b64decode(salt), base64.b64decode(digest)
        )
    except (ValueError, KeyError, binascii.Error):
        scheme, account = "", NOBODYS
    if scheme != "scrypt" or not account.name or not _is_possible(account):
        raise SettingsError(
            f"{place}: cannot understand this account; it must be name:full|read:scrypt$n$r$p$salt$hash:"
            " write it with `dispatcher passwd NAME --level full`"
        )
    return account


def _is_possible(account: Account) -> bool:
    n, r, p = account.n, account.r, account.p
    is_power = n > 1 and n & (n - 1) == 0
    return is_power and r > 0 and 0 < p <= 16 and 128 * n * r <= _MAX_MEMORY // 2 and bool(account.digest)


def _check_name(name: str) -> None:
    if not name or len(name) > 255 or ":" in name or name.startswith("#") or not name.isprintable():
        raise InvalidRequest(
            f"cannot use account name {name!r}: give 1 to 255 printable characters, no ':' and no '#' first"
        )
    if name != name.strip():
        raise InvalidRequest(f"cannot use account name {name!r}: leave out the blanks around it")


def _level_name(level: Level) -> str:
    for name, value in _LEVELS.items():
        if value is level:
            return name
    raise InvalidRequest("cannot make an account that may do nothing: give level full or read")


def _hashed(password: str) -> str:
    given = password.encode("utf-8", "surrogatepass")
    if not given or len(given) > _MAX_PASSWORD:
        raise InvalidRequest(f"cannot use this password: give 1 to {_MAX_PASSWORD} bytes")
    salt = secrets.token_bytes(16)
    digest = _scrypt(given, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    words = base64.b64encode(salt).decode(), base64.b64encode(digest).decode()
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${words[0]}${words[1]}"


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)

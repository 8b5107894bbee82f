"""API keys: what a program shows in place of a password. One small file beside the accounts.

Of a key only digests are kept. The file is trusted only if nobody else can read or write it, and read
again when it has changed, so `dispatcher apikey` needs no restart. A key's number never returns.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import string
from collections.abc import Callable
from pathlib import Path

import msgspec

from dispatcher.access.files import require_private
from dispatcher.access.roles import Level
from dispatcher.access.scram import ScramKeys, keys_of, nobodys_keys
from dispatcher.access.shared_file import SharedFile
from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest, NotFound, SettingsError

NAME = "api_keys.json"
IN_ALL = 10_000
LENGTH = 64
_ALPHABET = string.ascii_letters + string.digits
_TEXT = re.compile(r"([1-9][0-9]{0,14})-([A-Za-z0-9]{1,1000})")
_MAX_NAME = 200

_log = logging.getLogger("dispatcher.access")


class ApiKey(Value, frozen=True):
    """A key: whose it is and what it may do at most. `created` and `expires` are seconds, UTC."""

    number: int
    name: str
    user: str
    is_full: bool
    created: float
    digest: str  # SHA-256 of the whole text
    scram: ScramKeys
    expires: float | None = None

    @property
    def level(self) -> Level:
        """The level that the key gives at most; its user's may be lower."""
        return Level.FULL if self.is_full else Level.READ

    def is_over(self, now: float) -> bool:
        """Tell whether the key has expired."""
        return self.expires is not None and now >= self.expires


class _Kept(Value, frozen=True):
    last: int = 0
    decoy: bytes = b""
    keys: tuple[ApiKey, ...] = ()


class ApiKeys:
    """The keys of one file. `on_removed` is called with the number of each key that is gone or changed."""

    def __init__(self, path: Path) -> None:
        self.on_removed: Callable[[int], None] = lambda _number: None
        self._kept = _Kept(decoy=secrets.token_bytes(32))
        self._by_number: dict[int, ApiKey] = {}
        self._ended: set[int] = set()
        self._file = SharedFile(
            path,
            _read,
            lambda: _Kept(decoy=self._kept.decoy),
            self._replace,
            what="the API keys",
            remedy="be root or the daemon's user",
        )

    def load(self) -> None:
        """Read the file if it has changed; a missing file has no keys.

        Raises SettingsError, and keeps what was known, if it cannot be trusted or understood.
        """
        self._file.load()

    def refresh(self) -> bool:
        """Load if the file has changed; False, with a line in the log, if that is not possible."""
        return self._file.refresh()

    def all(self) -> tuple[ApiKey, ...]:
        """Give every key as last loaded, in the order of their numbers."""
        return self._kept.keys

    def find(self, number: int) -> ApiKey | None:
        """Give a key as last loaded."""
        return self._by_number.get(number)

    def matching(self, text: str) -> ApiKey | None:
        """Give the key whose text this is; None if it is nobody's. Takes the same time for all."""
        found = _TEXT.fullmatch(text)
        key = self._by_number.get(int(found[1])) if found else None
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        is_right = hmac.compare_digest(digest, key.digest if key else "0" * len(digest))
        return key if is_right else None

    def decoy(self, user: str) -> ScramKeys:
        """Give keys for SCRAM by which nobody can log in, for a user that has none."""
        return nobodys_keys(user, self._kept.decoy)

    def end_expired(self, now: float) -> None:
        """Tell `on_removed` of keys that have expired, once each."""
        for key in self._kept.keys:
            if key.is_over(now) and key.number not in self._ended:
                self._ended.add(key.number)
                self.on_removed(key.number)

    def add(
        self, name: str, user: str, level: Level, *, now: float, expires: float | None = None
    ) -> tuple[str, ApiKey]:
        """Make a key; give its text, which is nowhere kept, and what is. Takes about a second."""
        _check_name(name)
        secret = "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))
        scram = keys_of(secret)
        with self._file.alone():
            kept = self._kept
            if any((one.user, one.name) == (user, name) for one in kept.keys):
                raise InvalidRequest(
                    f"cannot add key {name!r}: {user!r} has one of that name; remove it or choose another"
                )
            if len(kept.keys) >= IN_ALL:
                raise InvalidRequest(f"cannot add key {name!r}: there are {IN_ALL} already; remove some")
            number = max([kept.last, *self._by_number]) + 1
            text = f"{number}-{secret}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            key = ApiKey(number, name, user, level is Level.FULL, now, digest, scram, expires)
            self._file.write(_text(_Kept(number, kept.decoy, (*kept.keys, key))))
        return text, key

    def remove(self, number: int) -> ApiKey:
        """Remove a key; NotFound if there is none."""
        with self._file.alone():
            key = self._by_number.get(number)
            if key is None:
                raise NotFound(f"cannot remove key {number}: there is none; dispatcher apikey list shows all")
            others = tuple(one for one in self._kept.keys if one.number != number)
            self._file.write(_text(msgspec.structs.replace(self._kept, keys=others)))
        return key

    def _replace(self, kept: _Kept) -> None:
        before, self._kept = self._by_number, kept
        self._by_number = {key.number: key for key in kept.keys}
        for number, key in before.items():
            if self._by_number.get(number) != key:
                self.on_removed(number)


def _read(path: Path) -> _Kept:
    with path.open("rb") as file:
        # Asked of the open file: the path may name another one by now.
        require_private(path, os.fstat(file.fileno()), "the API keys", "move it away")
        content = file.read()
    try:
        return msgspec.json.decode(content, type=_Kept)
    except msgspec.MsgspecError as error:
        raise SettingsError(
            f"{path}: cannot understand the API keys: {error}; "
            "take the file from a backup, or remove it and make new keys with `dispatcher apikey add`"
        ) from error


def _text(kept: _Kept) -> str:
    return msgspec.json.encode(kept).decode() + "\n"


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequest(f"cannot use key name {name!r}: give 1 to {_MAX_NAME} printable characters")

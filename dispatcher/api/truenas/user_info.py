"""What `auth.me` and a login tell of a user, in the words of TrueNAS."""

import os
import pwd

import msgspec

from dispatcher.access.roles import Level
from dispatcher.api.truenas.credentials import Identity
from dispatcher.core.model import Value

_NOBODY = 65534  # an account of the accounts file is no user of the system


class TwoFactor(Value, frozen=True):
    """No second factor is asked for."""

    provisioning_uri: None = None
    secret_configured: bool = False
    interval: int = 30
    otp_digits: int = 6


class Allowed(Value, frozen=True):
    """Methods that may be called."""

    method: str
    resource: str


class Roles(Value, frozen=True, rename={"names": "$set"}):
    """A set, as clients unwrap it."""

    names: tuple[str, ...]


class Privilege(Value, frozen=True):
    """What a user may do."""

    roles: Roles
    allowlist: tuple[Allowed, ...]
    web_shell: bool = False
    webui_access: bool = True


class UserInfo(Value, frozen=True):
    """One user; every key is always there."""

    pw_name: str
    pw_uid: int
    pw_gid: int
    pw_gecos: str
    pw_dir: str
    pw_shell: str
    grouplist: tuple[int, ...]
    privilege: Privilege
    account_attributes: tuple[str, ...]
    sid: None = None
    source: str = "LOCAL"
    local: bool = True
    attributes: dict[str, object] = msgspec.field(default_factory=dict)
    two_factor_config: TwoFactor = TwoFactor()


def user_info(identity: Identity, *, is_account: bool) -> UserInfo:
    """Describe the user of a login. Asks the system's name service: call it in a thread."""
    name = identity.caller.name
    entry = None if is_account else _entry(name)
    attributes = ["LOCAL"]
    if entry is not None and entry.pw_uid == 0:
        attributes.append("SYS_ADMIN")
    if identity.key is not None:
        attributes.append("API_KEY")
    return UserInfo(
        pw_name=name,
        pw_uid=entry.pw_uid if entry else _NOBODY,
        pw_gid=entry.pw_gid if entry else _NOBODY,
        pw_gecos=entry.pw_gecos if entry else "",
        pw_dir=entry.pw_dir if entry else "/nonexistent",
        pw_shell=entry.pw_shell if entry else "/usr/sbin/nologin",
        grouplist=tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)) if entry else (),
        privilege=_privilege(identity.caller.level),
        account_attributes=tuple(attributes),
    )


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None


def _privilege(level: Level) -> Privilege:
    if level is Level.FULL:
        return Privilege(Roles(("FULL_ADMIN",)), (Allowed("*", "*"),))
    return Privilege(Roles(("READONLY_ADMIN",)), ())

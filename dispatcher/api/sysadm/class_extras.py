"""What the built-in event classes read from the output of their commands. Pure."""

from collections.abc import Mapping

from dispatcher.api.sysadm.told import Told
from dispatcher.core.model import State

_UP_TO_DATE = "Your packages are up to date."
_DEPENDS = "Packages that depend on "


def fetch_extras(told: Told) -> Mapping[str, object]:
    """Read how far `iohyve fetch` has come: the newest line of its progress, split at tabs."""
    if told.key.split("::")[0] != "sysadm_iohyve_fetch" and not told.command.startswith("iohyve fetch "):
        return {}
    # A progress line is rewritten in place, behind a carriage return.
    for line in reversed(told.text.replace("\r", "\n").split("\n")):
        if "% of " in line or line.endswith(" Bps"):
            name, done, rate = [*line.split("\t", 2), "", ""][:3]
            return {"filename": name, "percent_done": done, "download_rate": rate}
    return {}


def pkg_extras(told: Told) -> Mapping[str, object]:
    """Name the action; at the end of a check or an audit say what it found."""
    kind = told.key.split("-")[0]
    fields: dict[str, object] = {"action": kind.partition("_")[2]}
    if told.state is State.FINISHED and kind == "sysadm_pkg_check_upgrade":
        fields["updates_available"] = "false" if _UP_TO_DATE in told.text else "true"
    if told.state is State.FINISHED and kind == "sysadm_pkg_audit":
        vulnerable, impacted = _audited(told.text)
        fields["vulnerable_pkgs"], fields["impacts_pkgs"] = vulnerable, impacted
    return fields


def _audited(text: str) -> tuple[list[str], list[str]]:
    """Read lines such as `Packages that depend on foo: bar, baz`; each name once."""
    vulnerable: dict[str, None] = {}
    impacted: dict[str, None] = {}
    for line in text.split("\n"):
        if line.startswith(_DEPENDS):
            name, _, others = line.removeprefix(_DEPENDS).partition(":")
            vulnerable[name] = None
            impacted.update(dict.fromkeys(others.strip().split(", ")))
    return [name for name in vulnerable if name], [name for name in impacted if name]

"""What pkg(8) prints, read into the shapes that SysAdm's clients know. Pure.

The shapes are those of the original's database rows: every single value a string, what has several
an array, annotations beside the other keys. Sources: trueos/sysadm-docs api_reference/classes/pkg.rst,
trueos/sysadm src/server/library/sysadm-pkg.cpp (both public), and pkg-query(8), pkg-search(8).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote

from dispatcher.errors import Refused

Info = dict[str, object]

# In the original a character code: one license, all of several, any of several.
_LOGIC = {"": "1", "single": "1", "&": "38", "and": "38", "|": "124", "or": "124"}
# Our name of a field, and the manifest's.
_SINGLE = {
    "arch": "arch",
    "cksum": "sum",
    "comment": "comment",
    "desc": "desc",
    "flatsize": "flatsize",
    "maintainer": "maintainer",
    "name": "name",
    "origin": "origin",
    "path": "path",
    "pkgsize": "pkgsize",
    "prefix": "prefix",
    "version": "version",
    "www": "www",
}
_LISTS = (
    "licenses",
    "users",
    "groups",
    "shlibs_required",
    "shlibs_provided",
    "provides",
    "requires",
    "conflicts",
)
_SPECIAL = re.compile(r"([][.{}()*+?^$|\\])")
_REPOSITORY = re.compile(r"  (\S.*): \{")
_ENABLED = re.compile(r"\s+enabled\s*:\s*(yes|true|on|1)\b", re.IGNORECASE)


def read_installed(text: str) -> dict[str, Info]:
    """Read the packages of `pkg query`: fields `key=value` between U+001F, packages ended by U+001E."""
    found: dict[str, Info] = {}
    for one in text.split("\x1e"):
        fields = (field.partition("=") for field in one.lstrip("\n").split("\x1f"))
        info: Info = {key: value for key, is_field, value in fields if is_field}
        if info.get("origin"):
            info["licenselogic"] = _LOGIC.get(str(info.get("licenselogic")), "1")
            found[str(info["origin"])] = info
    return found


def add_values(packages: Mapping[str, Info], key: str, text: str) -> None:
    """Add a list of values to each package: lines of origin and value."""
    for origin, value in _pairs(text):
        info = packages.get(origin)
        if info is not None and value:
            listed = info.setdefault(key, [])
            if isinstance(listed, list):
                listed.append(value)


def add_manifests(packages: Mapping[str, Info], text: str) -> None:
    """Add to installed packages what only `pkg info --raw` tells of them."""
    for origin, found in read_manifests(text).items():
        for key in ("conflicts", "config_files"):
            if key in found and origin in packages:
                packages[origin][key] = found[key]


def has_conflicts(packages: Mapping[str, Info]) -> bool:
    """Whether any of them conflicts with another."""
    return any("conflicts" in info for info in packages.values())


def name_conflicts(packages: Mapping[str, Info], text: str) -> None:
    """Put origins in the place of the names in `conflicts`, by lines of name and origin.

    Several packages may have a name; one of which nothing is known keeps it.
    """
    origins: dict[str, list[str]] = {}
    for name, origin in _pairs(text):
        origins.setdefault(name, []).append(origin)
    for info in packages.values():
        names = info.get("conflicts")
        if isinstance(names, list):
            found = [origin for name in names for origin in origins.get(name, [name])]
            info["conflicts"] = list(dict.fromkeys(found))


def add_options(packages: Mapping[str, Info], text: str) -> None:
    """Add the build options to each package: lines of origin, option and value."""
    for origin, rest in _pairs(text):
        name, _, value = rest.partition("\x1f")
        options = packages[origin].setdefault("options", {}) if origin in packages else None
        if isinstance(options, dict) and name:
            options[name] = value


def add_annotations(packages: Mapping[str, Info], text: str) -> None:
    """Add annotations, each under its own tag; none replaces what is known of the package itself."""
    for origin, rest in _pairs(text):
        tag, _, value = rest.partition("\x1f")
        if origin in packages and tag:
            packages[origin].setdefault(tag, value)


def read_manifests(text: str, repository: str = "", *, is_full: bool = True) -> dict[str, Info]:
    """Read the packages of `pkg search --raw --raw-format json-compact`."""
    found: dict[str, Info] = {}
    decoder = json.JSONDecoder()
    place = 0
    while True:
        place = next((n for n in range(place, len(text)) if not text[n].isspace()), len(text))
        if place == len(text):
            return found
        try:
            manifest, place = decoder.raw_decode(text, place)
        except ValueError:
            raise Refused("cannot read what pkg printed: it is no JSON; is pkg older than 1.4?") from None
        if isinstance(manifest, dict) and isinstance(manifest.get("origin"), str):
            found[manifest["origin"]] = _info(manifest, repository, is_full=is_full)


def read_plan(text: str) -> tuple[list[str], list[str]]:
    """Read the names of packages to be installed, and of installed ones to be removed, from a dry run."""
    names: dict[str, list[str]] = {"INSTALLED": [], "REMOVED": []}
    current: list[str] | None = None
    for line in text.splitlines():
        if line.rstrip().endswith(":"):
            current = names.get(line.rstrip(" :").rpartition(" ")[2])
        elif not line[:1].isspace() or not line.strip():
            current = None
        elif current is not None:
            name, is_versioned, _ = line.strip().partition(": ")
            # Older ones print name-version where a package goes.
            current.append(name if is_versioned else name.rpartition("-")[0] or name)
    return names["INSTALLED"], names["REMOVED"]


def read_repositories(text: str) -> list[str]:
    """Read the names of the enabled repositories from `pkg -vv`."""
    found: list[str] = []
    name = ""
    for line in text.partition("\nRepositories:")[2].splitlines():
        match = _REPOSITORY.match(line)
        if match is not None:
            name = match[1].strip('"')
        elif name and _ENABLED.match(line):
            found.append(name)
            name = ""
    return found


def any_of(words: Iterable[str]) -> str:
    """Make a POSIX extended regular expression that matches any of these texts, literally."""
    # What needs no backslash must have none: newer regcomp(3) refuses it.
    return "|".join(_SPECIAL.sub(r"\\\1", word) for word in words)


def _pairs(text: str) -> Iterable[Sequence[str]]:
    for line in text.split("\n"):
        origin, is_pair, value = line.partition("\x1f")
        if is_pair:
            yield origin, value


def _info(manifest: Mapping[str, object], repository: str, *, is_full: bool) -> Info:
    info: Info = {key: str(manifest[name]) for key, name in _SINGLE.items() if name in manifest}
    info["licenselogic"] = _LOGIC.get(str(manifest.get("licenselogic", "")), "1")
    if repository:
        info["repository"] = repository
    annotations = manifest.get("annotations")
    if isinstance(annotations, dict):
        for tag, value in annotations.items():
            info.setdefault(tag, str(value))
    if not is_full:
        return info
    for key in _LISTS:
        listed = manifest.get(key)
        if isinstance(listed, list) and listed:
            info[key] = [str(one) for one in listed]
    options = manifest.get("options")
    if isinstance(options, dict) and options:
        info["options"] = {name: _option(value) for name, value in options.items()}
    kept = manifest.get("config")
    if isinstance(kept, list) and kept:
        info["config_files"] = [unquote(str(one)) for one in kept]
    needed = manifest.get("deps")
    if isinstance(needed, dict) and needed:
        info["dependencies"] = [
            str(one.get("origin", "")) for one in needed.values() if isinstance(one, dict)
        ]
    return info


def _option(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)

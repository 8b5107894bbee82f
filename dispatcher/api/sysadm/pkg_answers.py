"""The plain answers of sysadm/pkg: which commands of the template are asked, and what is read from them.

Each answer is a function that gets an `Ask`; what large output says is read in a thread. The
shapes are described in `pkg_output`.
"""

from collections.abc import Mapping
from functools import partial

from dispatcher.api.sysadm import pkg_output
from dispatcher.api.sysadm.class_asking import Answer, Ask, in_thread
from dispatcher.api.sysadm.pkg_output import Info
from dispatcher.api.sysadm.pkg_search import Search, is_enough, order

_LISTS = (
    "dependencies",
    "reverse_dependencies",
    "licenses",
    "users",
    "groups",
    "shlibs_required",
    "shlibs_provided",
)


async def pkg_info(ask: Ask) -> dict[str, Info]:
    """Describe packages by origin: of a repository, or the installed ones."""
    origins, category = ask.texts("pkg_origins"), ask.text("category")
    is_full = ask.text("result") == "full"
    if ask.text("repo"):
        return await _of_repository(ask, origins, category, is_full=is_full)
    packages = await _installed(ask)
    if category and not origins:
        packages = {name: one for name, one in packages.items() if name.startswith(f"{category}/")}
    if is_full:
        for key in _LISTS:
            await in_thread(partial(pkg_output.add_values, packages, key, await ask.output(key)))
        await in_thread(partial(pkg_output.add_options, packages, await ask.output("options")))
        if origins and packages:
            # Of all packages these would be millions of lines, which no page shows.
            await in_thread(partial(pkg_output.add_values, packages, "files", await ask.output("files")))
            await in_thread(partial(pkg_output.add_manifests, packages, await ask.output("manifests")))
            await _name_conflicts(ask, packages, "origins")
    return packages


async def pkg_search(ask: Ask) -> dict[str, object]:
    """Find packages, best first (`results_order`), with a simple description of each."""
    search = Search(ask.text("search_term"), ask.text("category"), ask.texts("search_excludes"))
    packages: dict[str, Info] = {}
    if ask.text("repo"):
        for field, words in (("name", [search.term]), ("comment", search.words), ("desc", search.words)):
            if field != "name" and is_enough(len(order(packages, search)), field):
                continue
            text = await ask.output(field, pkg_output.any_of(words))
            read = partial(pkg_output.read_manifests, text, ask.text("repo"), is_full=False)
            packages |= await in_thread(read)
    else:
        packages = await _installed(ask)
    found = await in_thread(partial(order, packages, search))
    return {origin: packages[origin] for origin in found} | {"results_order": found}


async def list_categories(ask: Ask) -> list[str]:
    """List the categories that have packages, of a repository or of what is installed."""
    text = await ask.output("remote" if ask.text("repo") else "local")
    return sorted({line.split("/")[0] for line in text.splitlines() if "/" in line})


async def list_repos(ask: Ask) -> list[str]:
    """List the enabled repositories, and `local` for what is installed."""
    return ["local", *pkg_output.read_repositories(await ask.output("settings"))]


async def pkg_install_verify(ask: Ask) -> dict[str, object]:
    """Say what an installation would bring (`install`) and remove (`conflicts`)."""
    names, conflicts = pkg_output.read_plan(await ask.output("plan"))
    packages: Mapping[str, Info] = {}
    if names:
        text = await ask.output("details", pkg_output.any_of(names))
        packages = await in_thread(partial(pkg_output.read_manifests, text, is_full=False))
    keys = ("name", "origin", "pkgsize", "flatsize", "version", "comment")
    install = {
        str(info["name"]): {key: info.get(key, "") for key in keys}
        for info in packages.values()
        if info.get("name") in names
    }
    return {"conflicts": conflicts, "install": install}


ANSWERS: Mapping[str, Answer] = {
    "list_categories": list_categories,
    "list_repos": list_repos,
    "pkg_info": pkg_info,
    "pkg_install_verify": pkg_install_verify,
    "pkg_search": pkg_search,
}


async def _installed(ask: Ask) -> dict[str, Info]:
    packages = await in_thread(partial(pkg_output.read_installed, await ask.output("local")))
    annotations = await ask.output("annotations")
    await in_thread(partial(pkg_output.add_annotations, packages, annotations))
    return packages


async def _of_repository(
    ask: Ask, origins: tuple[str, ...], category: str, *, is_full: bool
) -> dict[str, Info]:
    every = f"{pkg_output.any_of([category])}/.*" if category else ".*"
    text = await ask.output("remote", pkg_output.any_of(origins) or every)
    packages = await in_thread(partial(pkg_output.read_manifests, text, ask.text("repo"), is_full=is_full))
    if is_full and origins and packages:
        key = "reverse_dependencies"
        found = await ask.output(f"remote_{key}")
        await in_thread(partial(pkg_output.add_values, packages, key, found))
    if is_full:
        await _name_conflicts(ask, packages, "remote_origins")
    return packages


async def _name_conflicts(ask: Ask, packages: Mapping[str, Info], command: str) -> None:
    # Few packages conflict with any, so all names are asked for only then.
    if pkg_output.has_conflicts(packages):
        await in_thread(partial(pkg_output.name_conflicts, packages, await ask.output(command)))

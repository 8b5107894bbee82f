"""The plain answers of sysadm/iocage: which commands of the template are asked, and what is read from them.

Each answer is a function that gets an `Ask`. The shapes are described in `iocage_output`.
"""

from collections.abc import Mapping

from dispatcher.api.sysadm import iocage_output
from dispatcher.api.sysadm.class_asking import Answer, Ask
from dispatcher.errors import InvalidRequest, Refused


async def iocage_jails(ask: Ask) -> dict[str, object]:
    """List the jails."""
    return {"jails": iocage_output.read_jails(await _printed(ask, "jails"))}


async def iocage_templates(ask: Ask) -> dict[str, object]:
    """List the templates; each has its own name as its template."""
    found = iocage_output.read_jails(await _printed(ask, "templates"))
    return {"templates": {name: one | {"template": name} for name, one in found.items()}}


async def iocage_releases(ask: Ask) -> Mapping[str, object]:
    """List the releases that are here, and if they could be asked for, those that can be fetched."""
    local = iocage_output.read_releases(await _printed(ask, "local"))
    remote = await _printed_if_well(ask, "remote")
    return {"local": local} | ({} if remote is None else {"remote": iocage_output.read_releases(remote)})


async def iocage_plugins(ask: Ask) -> Mapping[str, object]:
    """List the jails made of plugins, and if they could be asked for, the plugins that can be fetched."""
    jails = iocage_output.read_jails(await _printed(ask, "local"))
    local = {f"{one['tag']}_{one['jid']}": one for one in jails.values()}
    remote = await _printed_if_well(ask, "remote")
    return {"local": local} | ({} if remote is None else {"remote": iocage_output.read_plugins(remote)})


async def iocage_df(ask: Ask) -> dict[str, iocage_output.Fields]:
    """Say how much room each jail takes."""
    return iocage_output.read_use(await _printed(ask, "use"))


async def iocage_pool(ask: Ask) -> dict[str, str]:
    """Say which pool is activated, if one is."""
    pool = (await _printed_if_well(ask, "pool") or "").strip()
    return {"activated": "true", "pool": pool.splitlines()[-1]} if pool else {"activated": "false"}


async def iocage_defaults(ask: Ask) -> dict[str, object]:
    """Give the settings that hold for every jail."""
    return {"defaults": iocage_output.read_properties(await _printed(ask, "all"))}


async def iocage_settings(ask: Ask) -> dict[str, iocage_output.Fields]:
    """Give one property or all of a jail, or with the switch `-r` one property of all jails."""
    jail, name = ask.text("jail"), ask.text("prop")
    if ask.text("switches"):
        if not name or name == "all":
            raise InvalidRequest("cannot tell which property: give `prop`, the name of one")
        return iocage_output.read_property(await _printed(ask, "every"), name)
    if not jail:
        raise InvalidRequest("cannot tell which jail: give `jail`, or `prop` and `switches`: -r for all")
    if not name or name == "all":
        return {jail: iocage_output.read_properties(await _printed(ask, "all"))}
    return {jail: {name: (await _printed(ask, "one")).strip()}}


async def iocage_cap(ask: Ask) -> dict[str, str]:
    """Apply the limits of a running jail again."""
    await _printed(ask, "cap")
    return {"success": f"jail {ask.text('jail')} capped."}


async def iocage_exec(ask: Ask) -> dict[str, object]:
    """Run a command in a jail; give what it wrote by lines and as a whole, or if it failed as an error."""
    done = await ask.result("run")
    if done is None:
        raise Refused("cannot run a command in a jail: the file of classes has no command 'run' for it")
    if done.code != 0:
        return {"error": f"{done.text}{done.errors}".strip()}
    return {"success": iocage_output.read_lines(done.text), "output": done.text}


ANSWERS: Mapping[str, Answer] = {
    "iocage_cap": iocage_cap,
    "iocage_defaults": iocage_defaults,
    "iocage_df": iocage_df,
    "iocage_exec": iocage_exec,
    "iocage_jails": iocage_jails,
    "iocage_plugins": iocage_plugins,
    "iocage_pool": iocage_pool,
    "iocage_releases": iocage_releases,
    "iocage_settings": iocage_settings,
    "iocage_templates": iocage_templates,
}


async def _printed(ask: Ask, command: str) -> str:
    """Give what a command printed. Raises Refused with its last words if it failed."""
    done = await ask.result(command)
    if done is None:
        return ""  # an admin's file may leave out what nobody there asks for
    if done.code != 0:
        said = (done.errors.strip() or done.text.strip() or f"code {done.code}").splitlines()[-1]
        raise Refused(f"cannot answer: iocage said: {said[:300]}")
    return done.text


async def _printed_if_well(ask: Ask, command: str) -> str | None:
    """Give what a command printed, None if it failed: as those do that need a network."""
    done = await ask.result(command)
    return done.text if done is not None and done.code == 0 else None

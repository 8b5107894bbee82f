"""The `hostinfo` log: lines of the audit, in the words of the original. Pure."""

from collections.abc import Iterator, Mapping


def host_line(entry: Mapping[str, object]) -> str | None:
    """Give the line for an entry of the audit; None if it has none."""
    who, origin = str(entry.get("who", "")), str(entry.get("from", ""))
    address = origin.rpartition(":")[0].strip("[]") or origin
    what, answer = entry.get("what"), str(entry.get("answer", ""))
    is_done = answer == "done"
    match what:
        case "login":
            success = "true" if is_done else "false"
            if entry.get("by") == "ssl":
                return f"SSL Login Attempt:   User: {who}   Success: {success}   IP: {address}"
            return f"User Login Attempt: {who}   Success: {success}   IP: {address}"
        case "connect":
            return f"New Connection: {address}"
        case "idle":
            return f"Connection Idle: {address}"
        case "block":
            return f"Blacklisting IP Temporarily: {entry.get('address', '')}"
        case "refused_logins":
            return f"Blacklisted IP: {entry.get('address', '')}   Refused Logins: {entry.get('tries', '')}"
        case "submit":
            keys = list(_keys(entry, "key", only_launched=is_done))
            if not keys:
                return f"Client Request[{address}]: submit   (nothing was launched)"
            return f"Client Launched Processes[{address}]: {','.join(keys)}" + _refusal(answer)
        case "kill":
            return f"Client Killed Processes[{address}]: {','.join(_keys(entry, 'target'))}" + _refusal(
                answer
            )
        case str():
            queue = entry.get("queue")
            about = f": {queue}" if queue else ""
            return f"Client Request[{address}]: {what}{about}{_refusal(answer)}"
        case _:
            return None


def _keys(entry: Mapping[str, object], name: str, *, only_launched: bool = False) -> Iterator[str]:
    jobs = entry.get("jobs")
    for job in jobs if isinstance(jobs, list) else []:
        if isinstance(job, dict) and not (only_launched and _is_refused(job)):
            yield str(job.get(name) or job.get("number") or "")


def _is_refused(job: Mapping[str, object]) -> bool:
    return job.get("answer") not in (None, "added", "attached")


def _refusal(answer: str) -> str:
    return "" if answer == "done" else f"   ({answer})"

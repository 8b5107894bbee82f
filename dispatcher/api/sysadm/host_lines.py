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
        case "submit":
            keys = ",".join(_keys(entry, "key"))
            return f"Client Launched Processes[{address}]: {keys}" + _refusal(answer)
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


def _keys(entry: Mapping[str, object], name: str) -> Iterator[str]:
    jobs = entry.get("jobs")
    for job in jobs if isinstance(jobs, list) else []:
        if isinstance(job, dict):
            yield str(job.get(name) or job.get("number") or "")


def _refusal(answer: str) -> str:
    return "" if answer == "done" else f"   ({answer})"

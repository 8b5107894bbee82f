"""Where ours answers otherwise than the original was recorded to, on purpose: what, and why.

`page` is where our documentation tells it. Values of ours stand as they are, or as their type where
they are another one each time.
"""

from typing import Any, NamedTuple

from tests.acceptance.recorded import NOTHING

PAGE = "docs/protocols/sysadm.md"


class Difference(NamedTuple):
    conversation: str
    places: tuple[str, ...]  # steps, or jobs of which was told
    ours: dict[str, Any]  # path -> our value, its type, or NOTHING
    why: str
    page: str


def _unbuilt(prefix: str = "") -> dict[str, object]:
    """Give the paths of what the original lists and we do not have."""
    names = ("firewall", "fs", "network", "services", "systemmanager", "users")
    return {f"{prefix}args > sysadm/{name}": NOTHING for name in names}


MESSAGES, LOGINS, DISPATCHER = f"{PAGE}#messages", f"{PAGE}#logging-in", f"{PAGE}#the-dispatcher"
EVENTS, CLASS_EVENTS = f"{PAGE}#events", f"{PAGE}#events-of-a-class"
TOPICS = f"{PAGE}#events-besides-jobs"
CLASSES, LOGS, REST = f"{PAGE}#classes-that-queue-jobs", f"{PAGE}#logs", f"{PAGE}#rest"

ENVELOPE = (
    Difference(
        "envelope",
        (
            "no namespace",
            "an empty object",
            "a word",
            "an array",
            "broken JSON",
            "a user of no group",
            "a wrong password of root",
            "an unknown name",
            "an unknown namespace",
            "text as args",
            "no action",
            "an unknown action",
            "kill of nothing",
            "kill of a number",
            "subscribe to an empty array",
            "subscribe to an object",
            "a third verb of events",
            "revoke an unknown key",
            "register without a key",
            "register an empty key",
            "an unknown action of the logs",
            "an unknown token",
            "a wrong signature",
            "authfoo",
            "wrong password 1",
            "wrong password 2",
            "wrong password 3",
            "wrong password 4",
            "wrong password 5",
            "wrong password 6",
            "wrong password 7",
        ),
        {"args > reason": str},
        "An error says in a sentence what is wrong and what to do; clients do not look at a key more.",
        MESSAGES,
    ),
    Difference(
        "envelope",
        ("a word", "an array"),
        {"before the object": NOTHING},
        "What does not begin with a brace was taken for a message of a bridge and echoed its first line.",
        MESSAGES,
    ),
    Difference(
        "envelope",
        ("a right password", "a reader logs in", "a login after the wrong signature"),
        {"args[1]": 900},
        "The seconds that a token lives are told as they are; the original always said 0.",
        LOGINS,
    ),
    Difference(
        "envelope",
        ("query", "query without id", "query with a number as id", "QUERY in capitals"),
        _unbuilt() | {"args > sysadm/pkg": "read/write"},
        "Clients build a page for what is listed, so only what is here is; pkg(8) was missing there.",
        CLASSES,
    ),
    Difference(
        "envelope",
        ("a reader queries",),
        _unbuilt() | {"args > sysadm/pkg": "read"},
        "Clients build a page for what is listed, so only what is here is; pkg(8) was missing there.",
        CLASSES,
    ),
    Difference(
        "envelope",
        ("unsubscribe in the other spelling",),
        {"args > unsubscribe": "life_preserver"},
        "Both spellings of a name are known, because the documents of SysAdm have the other one.",
        TOPICS,
    ),
    Difference(
        "envelope",
        ("the log of the host",),
        {
            "args > hostinfo > Client Killed Processes": str,
            "args > hostinfo > Client Request": str,
            "args > hostinfo > Client Launched Processes": NOTHING,
            "args > hostinfo > Connection Closing": NOTHING,
        },
        "The log of the host has logins and requests for a change; to leave, or to run nothing, is neither.",
        LOGS,
    ),
    Difference(
        "envelope",
        ("an unknown token",),
        {"(before)": "401"},
        "A failed login ends the subscriptions of the one before, and that is told with an empty id.",
        LOGINS,
    ),
    Difference(
        "envelope",
        ("a right password after seven wrong ones",),
        {"args": dict, "name": "error", "namespace": "error"},
        "After five failures no login from the address is looked at; the original never refused loopback.",
        LOGINS,
    ),
)

PLAIN = (
    *("one", "multi", "fail", "missing", "slow", "nums", "dup", "k", "same", "err", "quote"),
    *("sysadm_iocage_fetch_release_12", "sysadm_update_checkupdates", "nonl", "tree"),
)
SUCCESSFUL = (
    *("one", "multi", "slow", "dup", "same", "quote"),
    *("sysadm_iocage_fetch_release_12", "sysadm_update_checkupdates"),
)
FAILED = ("fail", "missing", "nums", "err", "nonl", "tree")
OF_A_CLASS = (
    "sysadm_iohyve_fetch::{u}",
    "sysadm_pkg_audit-{u}",
    "sysadm_pkg_check_upgrade-{u}",
    "sysadm_pkg_install-{u1}",
    "sysadm_sourcectl_updateports::{u}",
    "sysadm_update_runupdates::{u}",
)
PKG = tuple(f"sysadm_pkg_{name}-{{<uuid>}}" for name in ("install", "check_upgrade", "audit", "lock"))
WAITING = PKG[1:]  # behind the first
DETAILS = "args > process_details"
AT_START = {
    "running > args > cmd_list": list,
    "running > args > current_cmd": str,
    "running > args > time_started": str,
    "running > args > <command 1>": str,
}
NEXT_COMMAND = {
    "running > args > <command 2>": str,
    "running > args > return_codes/<command 1>": str,
}
ID = "The documents of SysAdm give the id of an event as `none`; its clients do not look at it."
PENDING = "A job is told as pending, once, when it is queued."
RUNNING = "Each event is complete in itself, so that one who comes late or reads slowly misses nothing."
BARE = "A job of a class is told in the form of its class only."
OUTCOME = "How a job has ended is said in a word, beside its return codes."

JOBS = (
    Difference("jobs", ("log in",), {"args[1]": 900}, "The seconds that a token lives are told.", LOGINS),
    Difference(
        "jobs",
        ("run nothing and numbers",),
        {"args > rejected": dict, "args > started": ["nums"]},
        "A job without a command is refused by name; in the original it ended at once.",
        DISPATCHER,
    ),
    Difference("jobs", ("empty", "emptyl"), {"finished (times)": 0}, "It was refused.", DISPATCHER),
    Difference(
        "jobs",
        ("run it again",),
        {"args > rejected": dict, "args > started": []},
        "An id that is pending or running is refused; there, two jobs of one id could not be told apart.",
        DISPATCHER,
    ),
    Difference("jobs", ("dup",), {"finished (times)": 1}, "The second one was refused.", DISPATCHER),
    Difference(
        "jobs",
        ("k",),
        {"finished (times)": 1},
        "A kill ends the job, which is told; there it went on to its end.",
        DISPATCHER,
    ),
    Difference("jobs", PLAIN, {"pending (times)": 1}, PENDING, EVENTS),
    Difference("jobs", PLAIN, {"running > id": "none"} | AT_START, RUNNING, EVENTS),
    Difference("jobs", ("multi", "fail"), NEXT_COMMAND, RUNNING, EVENTS),
    Difference(
        "jobs",
        ("same",),
        {
            "running > args > echo q (2)": str,
            "running > args > return_codes/<command 1>": "0",
            "finished > args > <command 1>": "q\n",
            "finished > args > echo q (2)": "q\n",
            "finished > args > return_codes/echo q (2)": "0",
        },
        "A command that stands in the list twice has a key of its own the second time.",
        EVENTS,
    ),
    Difference(
        "jobs",
        ("missing", "nums"),
        {"finished > args > <command 1>": str},
        "The log of a command that cannot start says why.",
        EVENTS,
    ),
    Difference("jobs", (*SUCCESSFUL, *FAILED), {"finished > id": "none"}, ID, EVENTS),
    Difference("jobs", SUCCESSFUL, {"finished > args > outcome": "success"}, OUTCOME, EVENTS),
    Difference("jobs", FAILED, {"finished > args > outcome": "failed"}, OUTCOME, EVENTS),
    Difference(
        "jobs",
        OF_A_CLASS,
        {"pending > id": "none", "running > id": "none", "finished > id": "none"},
        ID,
        CLASS_EVENTS,
    ),
    Difference("jobs", OF_A_CLASS, {"running (bare)": False}, BARE, CLASS_EVENTS),
    Difference(
        "jobs",
        OF_A_CLASS,
        {f"running > {DETAILS} > current_cmd": str, f"running > {DETAILS} > <command 1>": str},
        RUNNING,
        CLASS_EVENTS,
    ),
    Difference("jobs", OF_A_CLASS[1:], {f"finished > {DETAILS} > outcome": "success"}, OUTCOME, CLASS_EVENTS),
    Difference("jobs", OF_A_CLASS[:1], {f"finished > {DETAILS} > outcome": "failed"}, OUTCOME, CLASS_EVENTS),
)

JOBS2 = (
    Difference("jobs2", ("log in",), {"args[1]": 900}, "The seconds that a token lives are told.", LOGINS),
    Difference(
        "jobs2",
        ("list after the kill", "list of the queue", "list of empty queues"),
        {"args > jobs > no_queue": NOTHING},
        "A queue without jobs is left out; and the job that was killed runs no more.",
        DISPATCHER,
    ),
    Difference(
        "jobs2",
        ("list of empty queues",),
        {"args > jobs > pkg_queue": NOTHING},
        "A queue without jobs is left out.",
        DISPATCHER,
    ),
    Difference("jobs2", ("crash", "killme"), {"pending (times)": 1}, PENDING, EVENTS),
    Difference("jobs2", ("crash", "killme"), {"running > id": "none"} | AT_START, RUNNING, EVENTS),
    Difference("jobs2", ("crash", "killme"), {"finished > id": "none"}, ID, EVENTS),
    Difference(
        "jobs2",
        ("crash",),
        {"finished (times)": 1, "finished > args > return_codes/<command 1>": "137"},
        "A command that a signal ended has the code 128 + n, in one event; there were two, with -1 and n.",
        EVENTS,
    ),
    Difference("jobs2", ("crash",), {"finished > args > outcome": "failed"}, OUTCOME, EVENTS),
    Difference("jobs2", ("killme",), {"finished > args > outcome": "killed"}, OUTCOME, EVENTS),
    Difference(
        "jobs2",
        ("killme",),
        {
            "finished > args > return_codes/<command 1>": "143",
            "finished > args > <command 2>": NOTHING,
            "finished > args > return_codes/<command 2>": NOTHING,
        },
        "A kill ends the command that runs, and none follows; there, the list went on to its end.",
        DISPATCHER,
    ),
    Difference(
        "jobs2",
        ("sysadm_pkg_x-1", *PKG),
        {"pending > id": "none", "running > id": "none", "finished > id": "none"},
        ID,
        CLASS_EVENTS,
    ),
    Difference("jobs2", ("sysadm_pkg_x-1", *PKG), {"running (bare)": False}, BARE, CLASS_EVENTS),
    Difference(
        "jobs2",
        ("sysadm_pkg_x-1", *PKG),
        {f"finished > {DETAILS} > outcome": "success"},
        OUTCOME,
        CLASS_EVENTS,
    ),
    Difference(
        "jobs2",
        ("sysadm_pkg_x-1",),
        {f"running > {DETAILS} > current_cmd": "echo second", f"running > {DETAILS} > <command 2>": str},
        "At a boundary the command is told that begins; there it was the one that had ended.",
        CLASS_EVENTS,
    ),
    Difference("jobs2", WAITING, {"pending (times)": 1}, PENDING, CLASS_EVENTS),
    Difference(
        "jobs2",
        WAITING,
        {f"pending > {DETAILS} > ": NOTHING},
        "The original added a key without a name when it told of a waiting job again.",
        CLASS_EVENTS,
    ),
    Difference(
        "jobs2",
        PKG[1:3],
        {f"running > {DETAILS} > current_cmd": str, f"running > {DETAILS} > <command 1>": str},
        RUNNING,
        CLASS_EVENTS,
    ),
)

STATE = (
    Difference("state", ("log in",), {"args[1]": 900}, "The seconds that a token lives are told.", LOGINS),
    Difference(
        "state",
        ("system-state",),
        {
            "args > zpools > bad > priority": "9 - Urgent",
            "args > zpools > full > priority": "6 - Critical",
            "args > zpools > tank > priority": "0 - Information",
        },
        "Clients show a warning for a pool by its own priority, which the original worked out and lost.",
        TOPICS,
    ),
    Difference("state", ("system-state",), {"id": "none"}, ID, TOPICS),
    Difference(
        "lifepreserver",
        (
            *("a snapshot in capitals", "a snapshot", "a replication starts", "a tenth is sent"),
            *("a quarter is sent", "a replication has finished"),
            *("a replication has finished, in other words", "a replication has failed"),
            "subscribe again",
        ),
        {"id": "none"},
        ID,
        TOPICS,
    ),
)

OUT = "nobody is logged in: "
REPLIES = (
    *("list", "query", "identify", "identify without a login", "query with GET", "run"),
    *("kill of an unknown id", "auth", "list again", f"{OUT}a reader lists"),
)
ERRORS = (
    *("an unknown action", "an unknown name", "a path of four parts", "a query in the path"),
    *(f"{OUT}a reader runs", f"{OUT}no action"),
)
WITHOUT_BODY = (
    *(f"{OUT}list without a login", f"{OUT}list as root with a wrong password"),
    *(f"{OUT}list of a user of no group", f"{OUT}PATCH", "DELETE"),
)
REFUSED = ("list without a login", "list as root with a wrong password")
IN_ARGS = ("list with the arguments in args",)
LATER = ("a reader runs", "subscribe")
ERROR = {
    "body > args > code": str,
    "body > args > message": str,
    "body > args > reason": str,
    "body > id": "",
    "body > name": "error",
    "body > namespace": "error",
}
WHOLE = "The answer is the whole object that a WebSocket client would get, errors too."

OVER_HTTP = (
    Difference(
        "rest",
        (*REPLIES, *ERRORS, *WITHOUT_BODY, *REFUSED, *IN_ARGS, *LATER, "OPTIONS", "HEAD"),
        {"headers > date": str, "headers > server": NOTHING},
        "The date is written as HTTP has it, and the program is not named.",
        REST,
    ),
    Difference(
        "rest", REPLIES, {"body > id": "", "body > name": "response", "body > namespace": "rpc"}, WHOLE, REST
    ),
    Difference(
        "rest", IN_ARGS, {"body > id": "q", "body > name": "response", "body > namespace": "rpc"}, WHOLE, REST
    ),
    Difference("rest", ERRORS, ERROR | {"headers > content-type": "text/json; charset=utf-8"}, WHOLE, REST),
    Difference(
        "rest",
        WITHOUT_BODY,
        {
            "body": dict,
            "headers > content-length": str,
            "headers > content-type": "text/json; charset=utf-8",
        },
        "Without a length a client that keeps its connection would wait; and an error says what is wrong.",
        REST,
    ),
    Difference(
        "rest",
        (*WITHOUT_BODY[:3], *REFUSED),
        {"headers > www-authenticate": str},
        "An answer of 401 names the way to log in, as HTTP demands.",
        REST,
    ),
    Difference(
        "rest",
        REFUSED,
        ERROR | {"line": "HTTP/1.1 401 Unauthorized", "body > args > jobs": NOTHING},
        "Without a login nothing is told, whoever else is logged in.",
        REST,
    ),
    Difference(
        "rest",
        ("a reader runs",),
        ERROR | {"line": "HTTP/1.1 403 Forbidden", "body > args > started": NOTHING},
        "Who may only read runs nothing, whoever else is logged in.",
        LOGINS,
    ),
    Difference(
        "rest",
        ("subscribe",),
        ERROR | {"line": "HTTP/1.1 400 Bad Request", "body > args > subscribe": NOTHING},
        "Events cannot come over plain HTTP, so nobody is told that they would.",
        REST,
    ),
    Difference(
        "rest",
        ("query", "query with GET"),
        _unbuilt("body > ") | {"body > args > sysadm/pkg": "read/write"},
        "Clients build a page for what is listed, so only what is here is; pkg(8) was missing there.",
        CLASSES,
    ),
    Difference(
        "rest",
        IN_ARGS,
        {
            "body > args > jobs > no_queue > rj > state": "running",
            "body > args > jobs > no_queue > rk > state": "running",
        },
        "A job starts at once; there it waited 30 ms.",
        DISPATCHER,
    ),
    Difference(
        "rest",
        ("list again",),
        {"body > args > jobs > no_queue": NOTHING},
        "A queue without jobs is left out.",
        DISPATCHER,
    ),
    Difference(
        "rest",
        ("auth",),
        {"body > args[0]": str, "body > args[1]": 900},
        "A login gives its token; over HTTP the original gave an empty one.",
        REST,
    ),
    Difference(
        "rest",
        ("OPTIONS", "HEAD"),
        {"headers > content-length": "0"},
        "Without a length a client that keeps its connection would wait.",
        REST,
    ),
    Difference(
        "rest",
        ("OPTIONS",),
        {"headers > allow": "HEAD, GET, PUT, POST, OPTIONS"},
        "All methods are named that are answered.",
        REST,
    ),
    Difference(
        "rest",
        ("GET without a body", "a brace in a header"),
        {"line": "HTTP/1.1 200 OK"},
        "A body is as long as its length says and may be absent; there, the braces were looked for.",
        REST,
    ),
    Difference(
        "rest",
        (f"{OUT}auth_clear",),
        {"line": "HTTP/1.1 200 OK"},
        "Every request over HTTP is answered.",
        REST,
    ),
    Difference(
        "rest",
        ("JSON without a request line",),
        {"line": "HTTP/1.1 400 Bad Request", "body": None},
        "What comes to an HTTP port is HTTP.",
        REST,
    ),
)

DIFFERENCES: tuple[Difference, ...] = (*ENVELOPE, *JOBS, *JOBS2, *STATE, *OVER_HTTP)

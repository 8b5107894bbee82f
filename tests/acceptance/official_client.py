"""A client that reads messages as the official Python client of TrueNAS does, and breaks where that would break.

That one is not on PyPI. What it needs of a server is written down here: which keys it reads without asking
whether they are there, and that it knows the number of a job only from `message_ids` of an event.
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any, Self

from tests.acceptance.truenas_client import JOBS, Current, Fields

KNOWN_CODES = {-32700, -32600, -32601, -32602, -32603, -32000, -32001}


class CallFailed(Exception):
    """The error of a call or a job: its text and its extra."""

    def __init__(self, text: str, extra: object = None) -> None:
        super().__init__(text)
        self.text = text
        self.extra = extra


class OfficialClient(Current):
    """One connection in the new style. `call` gives a result, `run` that of a job."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.jobs: dict[int, Fields] = {}
        self.told: list[tuple[str, Fields]] = []
        self._answers: dict[str, Fields] = {}
        self._number_of: dict[str, int] = {}
        self._is_following = False
        wanted = {"legacy_jobs": False, "private_methods": False, "py_exceptions": False}
        options = self._result(self._begin("core.set_options", wanted))
        assert options["legacy_jobs"] is False, "before any login"
        return self

    def call(self, method: str, *params: object, call_id: object = None) -> Any:
        """Call a method and give its result, or the number of the job that it makes."""
        self._follow_if_possible()
        call_id = self._begin(method, *params)
        while call_id not in self._answers and call_id not in self._number_of:
            self._read()
        # An event that names the call is taken for its answer, whatever comes after.
        return self._number_of[call_id] if call_id in self._number_of else self._result(call_id)

    def run(self, method: str, *params: object) -> Any:
        """Call a method that makes a job; wait for the event of its end and give its result."""
        number = self.call(method, *params)
        assert isinstance(number, int), "an answer before the event would be taken for the number"
        return self.ending(number)

    def ending(self, number: int) -> Any:
        """Wait for the event of a job's end; give its result."""
        while not self.jobs.get(number, {}).get("is_over"):
            self._read()
        job = self.jobs.pop(number)
        if job["state"] == "SUCCESS":
            return job["result"]
        info = job["exc_info"]
        if info is None:
            raise CallFailed(job["error"] or f"state {job['state']}")
        if info["type"] == "VALIDATION":
            raise CallFailed("validation", [(one[0], one[1], one[2]) for one in info["extra"] or []])
        assert job["exception"].splitlines()
        assert isinstance(info["repr"], str)
        raise CallFailed(job["error"], info["extra"])

    def _follow_if_possible(self) -> None:
        if not self._is_following:
            self._is_following = True
            try:
                self._result(self._begin("core.subscribe", JOBS))
            except CallFailed as failed:
                if "ENOTAUTHENTICATED" not in failed.text:
                    raise  # it would break the login
                self._is_following = False

    def _begin(self, method: str, *params: object) -> str:
        call_id = str(uuid.uuid4())
        self.send({"jsonrpc": "2.0", "method": method, "id": call_id, "params": params})
        return call_id

    def _result(self, call_id: str) -> Any:
        while call_id not in self._answers:
            self._read()
        answer = self._answers.pop(call_id)
        if "error" not in answer:
            return answer["result"]
        error = answer["error"]
        assert error["code"] in KNOWN_CODES, "an unknown one would be a success without a result"
        if error["code"] == -32602:
            raise CallFailed("validation", [(one[0], one[1], one[2]) for one in error["data"]["extra"]])
        if error["code"] == -32001:
            data = error["data"]
            assert isinstance(data["error"], int)
            assert data["trace"] is None or isinstance(data["trace"]["formatted"], str)
            raise CallFailed(data["reason"], data["extra"])
        raise CallFailed(error["message"])

    def _read(self) -> None:
        message = self.take(lambda _: True)
        json.loads(json.dumps(message), object_hook=_unwrapped)
        if "method" in message:
            assert message["method"] == "collection_update", message
            self._take_event(**message["params"])
            return
        assert message["id"] is not None, "it would fail every call that is under way"
        self._answers[message["id"]] = message

    def _take_event(self, *, msg: str, collection: str, id: int, fields: Fields, **_: object) -> None:  # noqa: A002
        assert collection == JOBS
        for call_id in fields["message_ids"]:
            self._number_of.setdefault(call_id, id)
        assert fields["id"] == id
        assert 0 <= fields["progress"]["percent"] <= 100
        assert isinstance(fields["progress"]["description"], str)
        self.told.append((msg.upper(), fields))
        known = self.jobs.setdefault(id, {})
        known.update(fields)
        if msg.upper() == "CHANGED" and fields["state"] in ("SUCCESS", "FAILED", "ABORTED"):
            known["is_over"] = True


def _unwrapped(fields: Fields) -> object:
    if len(fields) == 1 and "$date" in fields:
        return datetime.fromtimestamp(fields["$date"] / 1000, tz=UTC)
    if len(fields) == 1 and "$set" in fields:
        return set(fields["$set"])
    return fields

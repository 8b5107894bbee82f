"""The disk of the state directory is full: what cannot be saved is refused, what runs goes on and is not forgotten."""

import resource

import psutil

from tests.acceptance.daemon_clients import Answer, Rpc, until
from tests.acceptance.steps import begun, names, step


def test_what_cannot_be_saved_is_refused_and_never_runs_and_what_ran_meanwhile_is_known_afterwards(daemon):
    ran = step(daemon)
    supervisor = psutil.Process(daemon.pid)
    log = daemon.state_dir / "dispatcher.db-wal"
    answers: dict[str, Answer] = {}
    with Rpc(daemon) as rpc:
        job = rpc.submit("step 1 wait", "step 2")
        begun(ran, "1")
        supervisor.rlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10_000, resource.RLIM_INFINITY))
        while "error" not in answers.get(f"late-{len(answers) - 1}", {}):
            assert len(answers) < 500
            name = f"late-{len(answers)}"
            answers[name] = rpc.answer("submit", commands=[f"step {name}"], id=name)
        (daemon.folder / "gate").touch()
        until(lambda: "2" in names(ran), "the list goes on")
        meanwhile = rpc.call("show", job=job)

        supervisor.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ended = rpc.wait(job)
        accepted = [rpc.wait(name) for name in answers if "result" in answers[name]]
        refused = [name for name in answers if "error" in answers[name]]
        again = rpc.run(f"step {refused[0]}", id=refused[0])

    assert meanwhile["state"] == "running"
    assert (ended["outcome"], [command["code"] for command in ended["commands"]]) == ("success", [0, 0])
    assert {one["outcome"] for one in accepted} <= {"success"}
    assert again["outcome"] == "success", "its key is free: the job that was refused is none"
    assert sorted(names(ran)) == sorted(["1", "2", *answers])
    assert "cannot save to" in answers[refused[0]]["error"]["data"]["reason"]

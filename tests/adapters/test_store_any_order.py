"""Whatever happens to the jobs, in any order, both stores give the same answers."""

import tempfile
from collections.abc import Awaitable
from itertools import product
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.model import Outcome, Pending, Phase
from dispatcher.errors import StoreFailed
from dispatcher.store.memory import MemoryStore
from dispatcher.store.port import JobFilter, Store
from dispatcher.store.sqlite import open_store
from tests.adapters.sample_jobs import batch, finished, job, running

Change = tuple[int, Phase, str, str]
Step = list[Change] | tuple[float, int] | dict[str, bool]
Names = dict[int, tuple[str, str]]

QUEUES = ("no_queue", "pkg_queue")
KEYS = ("a", "b", "c", "d")
PHASES = st.one_of(
    st.just(Pending()),
    st.builds(Pending, worker=st.integers(1, 3)),
    st.builds(running, worker=st.integers(1, 3)),
    st.builds(finished, at=st.sampled_from([100.0, 200.0, 300.0]), outcome=st.sampled_from(Outcome)),
)
CHANGES = st.tuples(st.integers(1, 12), PHASES, st.sampled_from(KEYS), st.sampled_from(QUEUES))
STEPS = st.one_of(
    st.lists(CHANGES, min_size=1, max_size=6, unique_by=lambda change: change[0]),
    st.tuples(st.sampled_from([150.0, 250.0, 1e9]), st.integers(1, 4)),
    st.dictionaries(st.sampled_from(QUEUES), st.booleans(), min_size=1),
)
FILTERS = [
    JobFilter(live=live, queue=queue, outcome=outcome, since=since, until=until, key=key)
    for live, queue, (outcome, since, until), key in product(
        [None, False],
        [None, "no_queue"],
        [(None, None, None), (Outcome.LOST, None, None), (None, 200.0, 300.0), (None, 200.0, None)],
        [None, "a"],
    )
]


async def outcome_of(call: Awaitable[object]) -> object:
    try:
        return await call
    except StoreFailed:
        return StoreFailed


async def apply(store: Store, step: Step, names: Names, event: int) -> object:
    match step:
        case tuple((before, limit)):
            return await outcome_of(store.forget(before, limit))
        case dict():
            return await outcome_of(store.commit(batch(paused=step)))
        case changes:
            # What was submitted under a number never changes.
            jobs = [
                job(n, phase, key=names[n][0], queue=names[n][1], changed=event + at)
                for at, (n, phase, _, _) in enumerate(changes)
            ]
            last = max(one.number for one in jobs)
            saved = batch(*jobs, next_number=last + 1, changed=event + len(jobs))
            return await outcome_of(store.commit(saved, [("no_queue", 2, 3), ("pkg_queue", 0, 9)]))


async def everything(store: Store) -> list[object]:
    restored = await store.restore(3)
    return [
        restored.active, restored.heads, restored.waiting, restored.paused,
        (restored.generation, restored.next_number, restored.changed),
        await store.find([*range(13), *KEYS]),
        [await store.newest(key) for key in KEYS],
        [await store.page(which, offset, 3) for which in FILTERS for offset in (0, 2)],
        [await store.live(queue, 1, 4) for queue in QUEUES],
        [await store.changed_since(number, 4) for number in (0, 3, 9)],
    ]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=6))
def test_both_stores_give_the_same_answers_after_any_batches(steps):
    async def compare(folder: str) -> None:
        memory, sqlite = MemoryStore(), await open_store(Path(folder) / "jobs.db")
        names: Names = {}
        event = 1
        for step in steps:
            if isinstance(step, list):
                for number, _, key, queue in step:
                    names.setdefault(number, (key, queue))
            answers = [await apply(one, step, names, event) for one in (memory, sqlite)]
            event += len(step) if isinstance(step, list) else 0
            assert answers[0] == answers[1]
            assert await everything(memory) == await everything(sqlite)
        await sqlite.aclose()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(compare, folder)

"""Regular expressions are matched in a process apart, which is killed when it takes too long."""

import os

import pytest
import trio
import trio.testing

from dispatcher.api.truenas import pattern_process, patterns
from dispatcher.api.truenas.conditions import Question
from dispatcher.api.truenas.patterns import Matcher, Patterns
from dispatcher.api.truenas.problems import INVALID_PARAMS, Problem

PATIENT = 60.0  # seconds, where the time is not what is tested
FOREVER = ("(a+)+$", "a" * 60 + "b")


def pid_of(matcher: Matcher) -> int:
    assert matcher._process is not None
    return matcher._process.pid


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def sentence_of(problem: Problem) -> str:
    assert problem.code == INVALID_PARAMS
    assert problem.data is not None
    assert problem.data.error == 22
    (mistake,) = problem.data.extra
    return mistake.sentence


async def test_a_pattern_is_matched_at_the_beginning_of_a_text():
    questions: list[Question] = [
        ("pool", "pool.scrub"),
        ("scrub", "pool.scrub"),
        (".*scrub$", "pool.scrub"),
        ("", ""),
        ("x", ""),
        ("[é\n]", "é \N{SNOWMAN}"),
    ]
    async with Patterns(PATIENT).matcher() as matcher:
        answers = await matcher.ask(questions)

    assert [answers[one] for one in questions] == [True, False, True, True, False, True]


async def test_no_process_is_started_for_nothing_and_the_one_there_is_ends_with_the_query():
    held = Patterns(PATIENT)
    async with held.matcher() as matcher:
        assert await matcher.ask(()) == {}
        assert matcher._process is None
        await matcher.ask([("a", "a")])
        first = pid_of(matcher)
        await matcher.ask([("a", "b")])

        assert pid_of(matcher) == first
        assert is_there(first)
        assert held.alive.borrowed_tokens == 1
    assert not is_there(first)
    assert held.alive.borrowed_tokens == 0


async def test_thousands_of_texts_are_matched_in_batches_and_short_ones_remembered(monkeypatch):
    questions = {("1+", str(number)) for number in range(5000)} | {
        ("1+", "1" * 300_000),
        ("0+", "1" * 300_000),
    }
    async with Patterns(PATIENT).matcher() as matcher:
        answers = await matcher.ask(questions)
        assert answers == {one: one[1].startswith("1") and one[0] == "1+" for one in questions}

        async def never(*_: object) -> dict[Question, bool]:
            raise AssertionError("this is known")

        monkeypatch.setattr(matcher, "_match", never)
        assert await matcher.ask([("1+", "77"), ("1+", "177")]) == {("1+", "77"): False, ("1+", "177"): True}


async def test_a_pattern_that_takes_for_ever_is_given_up_while_others_get_their_turns():
    turns = 0

    async def live(task_status: trio.TaskStatus[None]) -> None:
        nonlocal turns
        task_status.started()
        while True:
            await trio.sleep(0.005)
            turns += 1

    async with Patterns(0.3).matcher() as matcher, trio.open_nursery() as nursery:
        await nursery.start(live)
        with trio.fail_after(30), pytest.raises(Problem) as caught:
            await matcher.ask([FOREVER])
        pid = pid_of(matcher)
        nursery.cancel_scope.cancel()

    assert sentence_of(caught.value).startswith("pattern takes too long: there is 0.3 s for all")
    assert not is_there(pid)
    # A thread would have held the interpreter for all of the time.
    assert turns >= 10


async def test_the_time_is_for_the_whole_query():
    questions = [(f"(a+)+$|{number}", "a" * 14 + "b") for number in range(10_000)]  # 1 ms each
    async with Patterns(0.2).matcher() as matcher:
        with pytest.raises(Problem) as caught:
            await matcher.ask(questions)

    assert sentence_of(caught.value).startswith("pattern takes too long")


async def test_the_next_query_has_its_own_time():
    held = Patterns(0.1)
    async with held.matcher() as matcher:
        with pytest.raises(Problem):
            await matcher.ask([FOREVER])
    held.seconds = PATIENT

    async with held.matcher() as matcher:
        assert await matcher.ask([("a", "a")]) == {("a", "a"): True}


async def test_only_one_process_works_at_a_time():
    held = Patterns(0.2)
    refused = 0

    async def ask() -> None:
        nonlocal refused
        try:
            async with held.matcher() as matcher:
                await matcher.ask([FOREVER])
        except Problem:
            refused += 1

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)

    assert refused == 3
    assert trio.current_time() - begun >= 0.6


async def test_what_is_no_pattern_is_refused_with_the_reason():
    async with Patterns(PATIENT).matcher() as matcher:
        with pytest.raises(Problem) as caught:
            await matcher.ask([("(", "x")])

    assert sentence_of(caught.value) == (
        "the pattern '(' cannot be matched: missing ), unterminated subpattern at position 0"
    )


async def test_a_process_that_dies_is_an_error_and_not_the_end():
    held = Patterns(PATIENT)
    async with held.matcher() as matcher:
        await matcher.ask([("a", "a")])
        assert matcher._process is not None
        matcher._process.kill()
        await matcher._process.wait()
        with pytest.raises(Problem) as caught:
            await matcher.ask([("a", "b")])

    assert sentence_of(caught.value) == "the pattern 'a' cannot be matched: it needs too much"
    assert held.alive.borrowed_tokens == 0


async def test_a_process_that_does_not_start_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(patterns, "_PROGRAM", tmp_path / "absent.py")
    held = Patterns()
    async with held.matcher() as matcher:
        with pytest.raises(Problem) as caught:
            await matcher.ask([("a", "a")])

    assert sentence_of(caught.value).startswith("the process that matches patterns does not start")
    assert held.alive.borrowed_tokens == 0


async def test_a_query_that_is_cancelled_leaves_no_process():
    held = Patterns(PATIENT)
    async with trio.open_nursery() as nursery:
        started = trio.Event()
        pids: list[int] = []

        async def ask() -> None:
            async with held.matcher() as matcher:
                await matcher.ask([("a", "a")])
                pids.append(pid_of(matcher))
                started.set()
                await matcher.ask([FOREVER])

        nursery.start_soon(ask)
        await started.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert [is_there(pid) for pid in pids] == [False]
    assert held.alive.borrowed_tokens == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'["a.", ["ab", "a", "xab", ""]]', "1000"),
        (b'["(", ["ab"]]', "!missing ), unterminated subpattern at position 0"),
        (b'["a{99999999999}", ["ab"]]', "!the repetition number is too large"),
    ],
)
def test_each_line_is_answered_with_a_digit_for_each_text(line, expected):
    assert pattern_process.answer(line) == expected

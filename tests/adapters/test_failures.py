"""Failed logins: what counts, for whom, for how long, and over a restart."""

import json

import pytest

from dispatcher.access import failures as failures_module
from dispatcher.access.failures import AddressRefused, Failures
from dispatcher.settings import Auth

AUTH = Auth(failures=3, window=100.0, block=1000.0)


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failures(tmp_path, clock):
    return Failures(tmp_path / "refused.json", AUTH, clock)


async def fail(failures, times, address="192.0.2.1"):
    for _ in range(times):
        await failures.count(address)


async def test_the_limit_refuses_for_the_block_time_and_not_before(failures, clock):
    await fail(failures, 2)
    failures.require_open("192.0.2.1")
    await fail(failures, 1)

    with pytest.raises(AddressRefused, match=r"failures\); try again in 16.6667 minutes"):
        failures.require_open("192.0.2.1")
    clock.now += 999.9
    assert failures.is_refused("192.0.2.1")
    clock.now += 0.2
    assert not failures.is_refused("192.0.2.1")
    await fail(failures, 2)
    assert not failures.is_refused("192.0.2.1")  # the count begins anew


async def test_failures_far_apart_do_not_add_up_and_a_success_forgets_them(failures, clock):
    for _ in range(5):
        await fail(failures, 2)
        clock.now += 100.1
    await fail(failures, 2)
    failures.forget("192.0.2.1")
    await fail(failures, 2)

    assert not failures.is_refused("192.0.2.1")


@pytest.mark.parametrize("other", ["10.0.0.11", "110.0.0.1", "10.0.0", "::ffff:10.0.0.1", "", "10.0.0.1%x"])
async def test_addresses_are_compared_whole(other, failures):
    await fail(failures, 3, "10.0.0.1")

    assert failures.is_refused("10.0.0.1")
    assert not failures.is_refused(other)


async def test_the_unix_socket_is_never_refused(failures):
    await fail(failures, 100, "")

    assert not failures.is_refused("")


async def test_who_goes_on_is_not_refused_for_longer(failures, clock):
    await fail(failures, 3)
    clock.now += 900
    await fail(failures, 3)
    clock.now += 101

    assert not failures.is_refused("192.0.2.1")


async def test_refusals_are_read_again_after_a_restart(failures, tmp_path, clock):
    await fail(failures, 3)
    await fail(failures, 3, "2001:db8::1")
    clock.now += 10
    again = Failures(tmp_path / "refused.json", AUTH, clock)

    assert again.is_refused("192.0.2.1")
    assert again.is_refused("2001:db8::1")
    assert not again.is_refused("192.0.2.2")
    assert (tmp_path / "refused.json").stat().st_mode & 0o777 == 0o600


async def test_a_clock_that_was_set_back_makes_no_refusal_longer(failures, tmp_path, clock):
    await fail(failures, 3)
    clock.now -= 50_000

    assert not failures.is_refused("192.0.2.1")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"192.0.2.1": "x"}', "\xff"])
async def test_a_broken_file_refuses_nobody_and_is_replaced(text, tmp_path, clock):
    path = tmp_path / "refused.json"
    path.write_bytes(text.encode("latin-1"))
    failures = Failures(path, AUTH, clock)

    assert not failures.is_refused("192.0.2.1")
    await fail(failures, 3)
    assert list(json.loads(path.read_text())) == ["192.0.2.1"]


async def test_many_addresses_take_bounded_memory(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(failures_module, "KEPT", 10)
    failures = Failures(tmp_path / "refused.json", AUTH, clock)
    for number in range(30):
        await fail(failures, 2, f"192.0.2.{number}")
        await fail(failures, 3, f"198.51.100.{number}")

    assert len(failures._counts) <= len(failures._refused_until) == 10
    assert failures.is_refused("198.51.100.29")


async def test_a_full_disk_refuses_all_the_same(tmp_path, clock, caplog):
    failures = Failures(tmp_path / "no folder" / "refused.json", AUTH, clock)
    (tmp_path / "no folder").write_text("")  # a file where a folder should be
    await fail(failures, 3)

    assert failures.is_refused("192.0.2.1")
    assert "cannot save refused addresses" in caplog.text


async def test_all_may_be_let_in_again_for_good(failures, tmp_path, clock):
    await fail(failures, 3)
    await fail(failures, 2, "192.0.2.7")
    await failures.lift()

    assert not failures.is_refused("192.0.2.1")
    assert not Failures(tmp_path / "refused.json", AUTH, clock).is_refused("192.0.2.1")
    await fail(failures, 2, "192.0.2.7")
    assert not failures.is_refused("192.0.2.7")

"""What counts as the use of a token, by a virtual clock; and the times that hold if none are set."""

import pytest
import trio

from dispatcher.settings import Auth, Limits
from tests.api.fakes import call, house

LOGIN = call("auth", {"username": "admin", "password": "a:b"})


@pytest.mark.parametrize(
    ("message", "is_used"),
    [
        (call("identify", ""), False),  # it is answered to anybody
        (call("query", ""), True),
        (call("nonesuch", ""), True),
        (call("dispatcher", {"action": "nonesuch"}), True),
        (call("unsubscribe", "dispatcher", namespace="events"), True),
    ],
)
async def test_every_call_but_identify_lets_a_token_live_on(message, is_used, autojump_clock):
    async with house() as built:
        client, other = built.connect(), built.connect()
        token = (await client.ask(LOGIN))["args"][0]
        await trio.sleep(600)
        await client.ask(message)
        await trio.sleep(600)

        heard = await other.ask(call("auth_token", {"token": token}))

        assert heard["name"] == ("response" if is_used else "error")


def test_if_nothing_is_set_the_times_are_those_of_the_protocol():
    limits, auth = Limits(), Auth()

    assert (limits.login_time, limits.idle_time, auth.token_time) == (30, 30 * 60, 900)
    assert (auth.failures, auth.window, auth.block) == (5, 10 * 60, 60 * 60)

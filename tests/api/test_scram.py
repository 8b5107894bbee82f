"""The server's side of SCRAM-SHA-512 against a client that was written from the RFC."""

import base64
import hashlib

import pytest

from dispatcher.access.scram import BINDING, Exchange, ScramKeys, keys_of, nobodys_keys, read_first
from dispatcher.errors import InvalidRequest
from tests.scram_client import ScramClient

SECRET = "aZ09" * 16
BOUND = f"p={BINDING},,"


@pytest.fixture(scope="module")
def keys() -> ScramKeys:
    return keys_of(SECRET, 50_000)


def exchange(client: ScramClient, keys: ScramKeys, binding: bytes = b"") -> Exchange:
    return Exchange(read_first(client.first), keys, binding)


def test_who_has_the_secret_gets_in_and_knows_that_it_is_us(keys):
    client = ScramClient("admin:7", SECRET)
    asked = exchange(client, keys)

    answer = asked.finish(client.final(asked.server_first))

    assert answer is not None
    assert client.is_server(answer)


def test_the_first_message_names_user_nonce_and_binding():
    first = read_first("p=tls-server-end-point,,n=a=2Cb=3Dc:12,r=fyko+d2lbbFgONRv9qkxdawL")

    assert (first.user, first.nonce) == ("a,b=c:12", "fyko+d2lbbFgONRv9qkxdawL")
    assert (first.binding, first.header) == ("tls-server-end-point", "p=tls-server-end-point,,")
    assert first.bare == "n=a=2Cb=3Dc:12,r=fyko+d2lbbFgONRv9qkxdawL"


def test_a_nonce_with_padding_is_joined_as_bytes_so_that_decoding_clients_find_it_again(keys):
    # TrueNAS's own clients decode what they get, and use what they encode again.
    nonce = base64.b64encode(bytes(range(32))).decode()
    client = ScramClient("admin:7", SECRET, nonce=nonce)
    asked = exchange(client, keys)
    joined = asked.server_first.partition(",")[0].removeprefix("r=")

    assert base64.b64decode(joined, validate=True)[:32] == bytes(range(32))
    assert len(base64.b64decode(joined)) == 64
    assert base64.b64encode(base64.b64decode(joined)).decode() == joined
    answer = asked.finish(client.final(asked.server_first, is_strict=False))
    assert answer is not None
    assert client.is_server(answer)


def test_a_nonce_that_is_no_base64_is_joined_as_text(keys):
    client = ScramClient("admin:7", SECRET, nonce="!not-base64!")
    asked = exchange(client, keys)

    assert asked.finish(client.final(asked.server_first)) is not None


def test_another_secret_is_no_proof(keys):
    client = ScramClient("admin:7", SECRET + "x")
    asked = exchange(client, keys)

    assert asked.finish(client.final(asked.server_first)) is None


def test_a_message_of_another_login_is_no_proof(keys):
    client = ScramClient("admin:7", SECRET)
    first = exchange(client, keys)
    replayed = client.final(first.server_first)

    assert exchange(client, keys).finish(replayed) is None
    assert first.finish(replayed) is not None


def test_a_nonce_that_is_not_ours_is_no_proof_even_if_it_is_signed(keys):
    client = ScramClient("admin:7", SECRET)
    asked = exchange(client, keys)

    assert asked.finish(client.final(asked.server_first, nonce=client.nonce + "A" * 44)) is None


def test_a_login_bound_to_our_certificate_gets_in_and_to_another_one_does_not(keys):
    ours, other = hashlib.sha256(b"ours").digest(), hashlib.sha256(b"in between").digest()
    for seen, is_in in ((ours, True), (other, False), (b"", False)):
        client = ScramClient("admin:7", SECRET, header=BOUND, binding=seen)
        asked = exchange(client, keys, ours)

        assert (asked.finish(client.final(asked.server_first)) is not None) is is_in


def test_a_client_whose_binding_was_taken_away_on_the_way_does_not_get_in(keys):
    client = ScramClient("admin:7", SECRET, header=BOUND, binding=b"b" * 32)
    stripped = Exchange(read_first("n,," + client.first.removeprefix(BOUND)), keys)

    assert stripped.finish(client.final(stripped.server_first)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n,,",
        "n,,n=admin:7",
        "n,,r=abc,n=admin:7",
        "n,,n=,r=abc",
        "n,,n=a=7,r=abc",
        "n,,n=admin:7,r=",
        "n,,n=admin:7,r=a b",
        "n,a=somebody,n=admin:7,r=abc",
        "n,,m=must,n=admin:7,r=abc",
        "x,,n=admin:7,r=abc",
        "p=,,n=admin:7,r=abc",
        "n,,n=admin:7,r=abc,",
        "n,,n=admin:7,r=" + "a" * 5000,
    ],
)
def test_what_is_no_first_message_is_refused(text):
    with pytest.raises(InvalidRequest, match="client-first-message"):
        read_first(text)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:-10],
        lambda text: text.partition(",p=")[0],
        lambda text: text.partition(",p=")[0] + ",p=",
        lambda text: text.partition(",p=")[0] + ",p=!!!!",
        lambda text: text.partition(",p=")[0] + ",p=" + base64.b64encode(bytes(63)).decode(),
        lambda text: "c=biw!" + text[6:],
        lambda text: text + ",p=more",
        lambda text: text + "\n",
        lambda text: "c=biws," * 1000 + text,
    ],
)
def test_what_is_no_final_message_is_refused(spoil, keys):
    client = ScramClient("admin:7", SECRET)
    asked = exchange(client, keys)

    with pytest.raises(InvalidRequest, match="rfc_str"):
        asked.finish(spoil(client.final(asked.server_first)))


def test_who_asks_for_a_user_that_there_is_not_sees_the_same_salt_each_time_and_never_gets_in():
    decoy = b"d" * 32
    one, again, other = (nobodys_keys(user, decoy) for user in ("a:1", "a:1", "b:1"))
    client = ScramClient("a:1", SECRET)
    asked = exchange(client, one)

    assert one.salt == again.salt != other.salt
    assert one.iterations == 500_000
    assert asked.finish(client.final(asked.server_first)) is None


def test_what_is_kept_is_not_enough_to_log_in(keys):
    kept = (keys.salt, keys.stored_key, keys.server_key)

    assert SECRET.encode() not in b"".join(kept)
    assert len({keys_of(SECRET, 50_000).salt, keys.salt}) == 2

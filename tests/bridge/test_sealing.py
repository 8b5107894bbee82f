"""The encryption between client and daemon: what agrees, and what a bridge in the middle can try."""

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dispatcher.access.client_keys import checksum_of, has_signed
from dispatcher.bridge.channels import Encoded, Plain, Sealed
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.sealing import (
    Agreement,
    ClientHalf,
    DaemonKey,
    Unsealable,
    answer_offer,
    fingerprint,
    public_pem,
)
from dispatcher.errors import InvalidRequest, NotAuthenticated

TEXT = "T" * 200


@pytest.fixture(scope="module")
def daemon_key() -> OwnKey:
    return OwnKey(rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="module")
def client_key() -> OwnKey:
    return OwnKey(rsa.generate_private_key(65537, 2048))


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answer(
    half: ClientHalf, checksum: str, key: OwnKey, text: str = TEXT
) -> tuple[dict[str, Any], Agreement]:
    """What the daemon sends, and what it keeps."""
    sealing, agreement = answer_offer(half.offer, checksum, text, key.private)
    return {
        "test_string": text_of(text.encode()),
        "new_ssl_key": text_of(key.pem),
        "sealing": sealing,
    }, agreement


def agreed(client: OwnKey, daemon: OwnKey) -> tuple[Agreement, Agreement]:
    """Both sides of a session."""
    half = ClientHalf(client.checksum)
    sent, theirs = answer(half, client.checksum, daemon)
    return half.agree(sent, DaemonKey(daemon.fingerprint)), theirs


def test_both_ends_read_each_other_and_nobody_else_reads_anything(client_key, daemon_key):
    client, daemon = agreed(client_key, daemon_key)
    messages = [b"", b"{}", "grüße".encode(), b"x" * 100_000, b"{}"]

    there = [client.sealer.seal(one) for one in messages]
    back = [daemon.sealer.seal(one) for one in messages]

    assert [daemon.opener.open(one) for one in there] == messages
    assert [client.opener.open(one) for one in back] == messages
    assert len({*there, *back}) == 10  # the same message never looks the same
    assert all(b"xxxx" not in base64.b64decode(one) for one in (*there, *back))


def test_the_clients_word_is_good_for_this_session_and_this_key_only(client_key, daemon_key):
    client, daemon = agreed(client_key, daemon_key)
    _, other = agreed(client_key, daemon_key)
    word = base64.b64decode(client.sign_as_client(client_key.private))

    assert daemon.is_signed_by_client(client_key.pem, word)
    assert not other.is_signed_by_client(client_key.pem, word)
    assert not daemon.is_signed_by_client(daemon_key.pem, word)
    assert not daemon.is_signed_by_client(client_key.pem, b"")
    assert not daemon.is_signed_by_client(b"no key", word)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda one, _: one[:-8] + ("A" if one[-8] != "A" else "B") + one[-7:],
        lambda one, _: ("A" if one[0] != "A" else "B") + one[1:],
        lambda one, _: one[:-4],
        lambda one, _: "",
        lambda one, _: "not base64 !",
        lambda one, _: "gr\u00fc\u00dfe",
        lambda _, two: two,  # the first one was lost, or they came in another order
        lambda one, _: text_of(base64.b64decode(one) + b"\0"),
    ],
)
def test_a_message_that_was_changed_or_is_not_the_next_one_cannot_be_opened(tamper, client_key, daemon_key):
    client, daemon = agreed(client_key, daemon_key)
    one, two = client.sealer.seal(b"one and a bit more"), client.sealer.seal(b"two")

    with pytest.raises(Unsealable, match="this session has ended"):
        daemon.opener.open(tamper(one, two))


def test_a_message_is_opened_once_and_not_by_the_one_who_sealed_it(client_key, daemon_key):
    client, daemon = agreed(client_key, daemon_key)
    one = client.sealer.seal(b"kill it")
    with pytest.raises(Unsealable):
        client.opener.open(one)  # sent back to where it comes from
    daemon.opener.open(one)

    with pytest.raises(Unsealable):
        daemon.opener.open(one)


def replaced(answer: dict[str, Any], **fields: object) -> dict[str, Any]:
    return answer | {"sealing": answer["sealing"] | fields}


def own_public() -> str:
    return text_of(X25519PrivateKey.generate().public_key().public_bytes_raw())


@pytest.mark.parametrize(
    "tamper",
    [
        lambda sent: {name: value for name, value in sent.items() if name != "sealing"},
        lambda sent: sent | {"sealing": None},
        lambda sent: replaced(sent, x25519=own_public()),
        lambda sent: replaced(sent, x25519=""),
        lambda sent: replaced(sent, x25519=5),
        lambda sent: replaced(sent, v=2),
        lambda sent: replaced(sent, signature=text_of(bytes(256))),
        lambda sent: replaced(sent, signature=""),
        lambda sent: sent | {"test_string": text_of(b"U" * 200)},
        lambda sent: sent | {"new_ssl_key": text_of(b"no key")},
    ],
)
def test_a_client_goes_no_step_further_with_an_answer_that_was_tampered_with(tamper, client_key, daemon_key):
    half = ClientHalf(client_key.checksum)
    sent, _ = answer(half, client_key.checksum, daemon_key)

    with pytest.raises(NotAuthenticated):
        half.agree(tamper(sent), DaemonKey(daemon_key.fingerprint))


def test_a_bridge_with_a_key_of_its_own_in_the_middle_is_found_out(client_key, daemon_key):
    """It answers the client itself: with its own key, then with the daemon's key and answer to another offer."""
    half, another = ClientHalf(client_key.checksum), ClientHalf(client_key.checksum)
    bridge = OwnKey(rsa.generate_private_key(65537, 2048))
    own, _ = answer(half, client_key.checksum, bridge)
    others, _ = answer(another, client_key.checksum, daemon_key)

    for sent in (own, others, own | {"new_ssl_key": others["new_ssl_key"]}):
        with pytest.raises(NotAuthenticated, match="look who runs the bridge"):
            half.agree(sent, DaemonKey(daemon_key.fingerprint))


def test_an_offer_that_was_replaced_on_its_way_gives_no_agreement(client_key, daemon_key):
    """The bridge offers the daemon a key of its own, and has the client's answer signed by the daemon."""
    half, bridges = ClientHalf(client_key.checksum), ClientHalf(client_key.checksum)
    sent, daemon = answer(bridges, client_key.checksum, daemon_key)

    with pytest.raises(NotAuthenticated):
        half.agree(sent, DaemonKey(daemon_key.fingerprint))

    theirs = bridges.agree(sent, DaemonKey(daemon_key.fingerprint))
    # It has a channel to the daemon, and nothing to say who it is but what the client would sign elsewhere.
    client_elsewhere, _ = agreed(client_key, daemon_key)
    word = base64.b64decode(client_elsewhere.sign_as_client(client_key.private))
    assert daemon.opener.open(theirs.sealer.seal(b"hello")) == b"hello"
    assert not daemon.is_signed_by_client(client_key.pem, word)


def test_a_signed_test_string_is_no_word_of_a_client_and_the_other_way_round(client_key, daemon_key):
    """So a bridge that has test strings of its own signed gains nothing by that."""
    client, daemon = agreed(client_key, daemon_key)
    text = "abc123" * 20
    signed = base64.b64decode(client_key.sign_text(text))

    assert has_signed(client_key.pem, signed, text.encode())
    assert not daemon.is_signed_by_client(client_key.pem, signed)
    word = base64.b64decode(client.sign_as_client(client_key.private))
    assert not has_signed(client_key.pem, word, text.encode())


@pytest.mark.parametrize("text", ["short", "", None, 5, "x" * 246, "a b" * 20, "{}" * 40, "é" * 40])
def test_nothing_is_signed_that_is_no_test_string(text, client_key):
    with pytest.raises(NotAuthenticated, match="it is none"):
        client_key.sign_text(text)


@pytest.mark.parametrize("length", [16, 40, 200, 245])
def test_test_strings_are_signed_as_the_protocol_wants(length, client_key):
    text = "aB3" * 100
    signature = base64.b64decode(client_key.sign_text(text[:length]))

    found = client_key.private.public_key().recover_data_from_signature(signature, padding.PKCS1v15(), None)
    assert found == text[:length].encode()


@pytest.mark.parametrize(
    "offer",
    [
        5,
        "",
        [],
        {},
        {"v": 1},
        {"v": 2, "x25519": own_public()},
        {"v": 1, "x25519": "AAAA"},
        {"v": 1, "x25519": text_of(bytes(32))},  # a point that makes every key the same
        {"v": 1, "x25519": 7},
        {"v": 1, "x25519": "!"},
    ],
)
def test_a_daemon_refuses_an_offer_that_is_none(offer, daemon_key):
    with pytest.raises(InvalidRequest):
        answer_offer(offer, "sum", TEXT, daemon_key.private)


def test_a_daemon_is_known_by_its_key_or_by_the_fingerprint_of_it(daemon_key, client_key):
    der = daemon_key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = hashlib.sha256(der).hexdigest()
    pairs = ":".join(found[at : at + 2] for at in range(0, 64, 2)).upper()

    for wanted in (daemon_key.pem.decode(), found, pairs, f" {found}\n"):
        assert DaemonKey(wanted).is_key(daemon_key.pem)
        assert not DaemonKey(wanted).is_key(client_key.pem)
        assert not DaemonKey(wanted).is_key(b"")
    assert daemon_key.fingerprint == fingerprint(daemon_key.pem) == found
    for wrong in (
        "",
        "abc",
        daemon_key.checksum,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ):
        with pytest.raises(InvalidRequest, match=r"bridge\.pub"):
            DaemonKey(wrong)


def test_the_sum_of_a_key_is_that_of_its_pem_form(client_key):
    assert client_key.checksum == checksum_of(public_pem(client_key.private.public_key()))


# --- channels -------------------------------------------------------------------------------


def test_old_clients_get_base64_and_may_still_say_something_plain():
    channel = Encoded()

    assert channel.write(b'{"a":1}') == "eyJhIjoxfQ=="
    assert channel.read("eyJhIjoxfQ==") == b'{"a":1}'
    assert channel.read('{"a":1}') == '{"a":1}'
    assert channel.read("no base64") == "no base64"
    assert (Plain().write(b"{}"), Plain().read("{}")) == ("{}", "{}")


def test_nothing_plain_gets_into_a_sealed_session(client_key, daemon_key):
    client, daemon = (Sealed(one) for one in agreed(client_key, daemon_key))

    assert daemon.read(client.write(b"hello")) == b"hello"
    with pytest.raises(Unsealable, match="a plain message"):
        daemon.read('{"namespace":"rpc","name":"dispatcher","id":"1","args":{"action":"kill"}}')

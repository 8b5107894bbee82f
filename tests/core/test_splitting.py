"""The rule by which SysAdm takes a command string apart, and its way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.splitting import join, read_command, split
from dispatcher.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("pkg info", ("pkg", "info")),
        ("  pkg \t info\n", ("pkg", "info")),
        ("pkg\tinfo", ("pkg", "info")),
        ("pkg\u00a0info\u2003-a\x85b", ("pkg", "info", "-a", "b")),
        ('echo "a b"', ("echo", "a b")),
        ('echo a"b c"d', ("echo", "ab cd")),
        ('echo "a""b"', ("echo", "ab")),
        ('echo """a"""', ("echo", '"a"')),
        ('echo """"a b""""', ("echo", '"a b"')),
        ('echo """""" x', ("echo", '""', "x")),
        ('echo "" x', ("echo", "x")),
        ('echo "open end', ("echo", "open end")),
        (
            "echo 'a b' $HOME \\n *.txt ~ `x` a;b|c>d",
            ("echo", "'a", "b'", *["$HOME", "\\n", "*.txt", "~", "`x`", "a;b|c>d"]),
        ),
        ("a\x1cb", ("a\x1cb",)),
        ("", ()),
        (' \t""\n', ()),
    ],
)
def test_a_string_is_split_as_qt_splits_it(text, argv):
    assert split(text) == argv


def character_by_character(text: str) -> tuple[str, ...]:
    """Split as the documentation of QProcess describes it, one character at a time."""
    words: list[str] = []
    word, is_quoted, quotes = "", False, 0
    for character in [*text, None]:
        if character == '"':
            quotes += 1
            if quotes == 3:
                word, quotes = word + '"', 0
            continue
        if quotes == 1:
            is_quoted = not is_quoted
        quotes = 0
        if character is None or (not is_quoted and character in " \t\n\v\f\r\x85\u00a0\u2003\u2028"):
            if word:
                words.append(word)
            word = ""
        else:
            word += character
    return tuple(words)


@given(st.text(alphabet="ab\"'\\$ \t\n\x1c\u00a0\u2003\u2028", max_size=30))
def test_splitting_by_pieces_and_by_characters_agree(text):
    assert split(text) == character_by_character(text)


@given(
    st.lists(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from('" \t')))
)
def test_joined_arguments_split_into_the_same_arguments(argv):
    assert split(join(argv)) == tuple(argv)


def test_joined_text_is_plain_where_nothing_needs_quotes():
    assert join(["pkg", "install", "-y", "it's", "$x"]) == "pkg install -y it's $x"
    assert join(["echo", "a b", ""]) == 'echo "a b" ""'


def test_a_string_keeps_its_text_and_a_list_gets_one():
    string = read_command("pkg  info")
    listed = read_command(["echo", "a b", "", "*"])

    assert string is not None
    assert (string.argv, string.text) == (("pkg", "info"), "pkg  info")
    assert listed is not None
    assert (listed.argv, listed.text) == (("echo", "a b", "", "*"), 'echo "a b" "" *')


def test_a_string_with_nothing_in_it_is_no_command():
    assert read_command(' "" ') is None


@pytest.mark.parametrize(
    ("given_command", "part"),
    [
        ("pkg\0info", "NUL"),
        (["pkg", "a\0"], "NUL"),
        ("pkg \ud800", "Unicode"),
        (["\udfff"], "Unicode"),
        ([], "without a program"),
        (["", "x"], "without a program"),
    ],
)
def test_what_no_system_can_execute_is_refused_with_a_sentence(given_command, part):
    with pytest.raises(InvalidRequest, match=part):
        read_command(given_command)

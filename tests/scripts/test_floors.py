"""What came of the tests with the oldest libraries, which `sh script/test` runs before all others."""

from pathlib import Path

import pytest

OUTCOME = Path(__file__).resolve().parent.parent.parent / "var" / "floors" / "outcome"


@pytest.mark.skipif(not OUTCOME.exists(), reason="only `sh script/test` without arguments runs script/floors")
def test_the_tests_pass_with_the_oldest_libraries():
    assert OUTCOME.read_text() == "passed\n", "sh script/floors says what is wrong"

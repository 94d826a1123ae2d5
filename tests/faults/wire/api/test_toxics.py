"""Toxics as JSON, made of rules."""

import pytest

from faults.rule import FaultRule, Param
from faults.wire.api.toxics import show

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("params", "code"), [({}, 2), ({"code": "CANCEL"}, 8), ({"code": "7"}, 7), ({"code": 0}, 0)]
)
def test_a_code_is_shown_as_its_number(params: dict[str, Param], code: int) -> None:
    """A rule written by hand may name it; what isn't given is what acts, so nobody sets 0 back."""
    rule = FaultRule("f", "reset_stream", "link:gateway>video", params)
    assert show("f", rule)["attributes"] == {"code": code}

"""What may be written to the control plane, and what a reader makes of the rest."""

from typing import Any

import pytest

from faults.rule import FaultRule
from kit.entries import OVERLAY_TTL_S, Overlay, PolicyEntry, check_entry, decode_entry, ttl_s
from kit.errors import ConfigError
from resilience.policy.contract import Mode

LATENCY = {"id": "f1", "kind": "latency", "target": "video", "params": {"ms": 5}}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("politics/video/limiter", {"mode": "on"}, "is unknown"),
        ("policy/video", {"mode": "on"}, "is unknown"),
        ("policy/video/limiter", {"mode": "maybe"}, "maybe"),
        ("policy/Video!/limiter", {"mode": "on"}, "target 'Video!'"),
        ("station/video", {"workers": -1}, "workers is -1"),
        ("station/video", {"workers": "two"}, "workers"),
        ("station/video.0", {"workers": 1}, "target"),
        ("setting/gateway/cap", {"value": "many"}, "value"),
        ("choice/video/limiter", {"value": "vega"}, "vegas"),
        ("choice/video/limitr", {"value": "vegas"}, "limiter"),
        ("choice/Video/limiter", {"value": "vegas"}, "target"),
        ("overlay", {"id": "a", "choices": {"video": {"limiter": "vega"}}}, "vegas"),
        ("drain/video", {}, "drained"),
        ("eject/gateway.1", {}, "ttl_s"),
        ("eject/gateway.1", {"ttl_s": 0}, "ttl_s is 0"),
        ("eject/Gateway", {"ttl_s": 1}, "target"),
        ("reset", {"epoch": 1.5}, "epoch"),
        ("fault/f1", {**LATENCY, "kind": "latncy"}, "did you mean latency"),
        ("fault/f1", {**LATENCY, "colour": "red"}, "colour"),
        ("overlay", {"id": "a", "ttl_s": 0}, "ttl_s"),
        ("overlay", {"id": "a", "drains": ["video .1"]}, "target"),
        ("overlay", {"id": "a", "stations": {"video": {"cv": -1}}}, "cv is -1"),
        ("overlay", {"id": "a", "policies": {"video": {"limiter": "perhaps"}}}, "perhaps"),
        ("overlay", {"id": "a", "faults": [{**LATENCY, "share": 2}]}, "share"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_name(
    field: str, value: dict[str, Any], says: str
) -> None:
    """The message names what is wrong with which field."""
    with pytest.raises(ConfigError) as caught:
        check_entry(field, value)
    assert says in str(caught.value)


def test_a_right_entry_becomes_its_type() -> None:
    """Plain JSON and ready-made values are both taken."""
    assert check_entry("policy/*/limiter", {"mode": "off"}) == PolicyEntry(Mode.OFF)
    entry = PolicyEntry(Mode.ON)
    assert check_entry("policy/video.2/limiter", entry) is entry
    assert check_entry("fault/f1", LATENCY) == FaultRule("f1", "latency", "video", {"ms": 5})


def test_readers_skip_what_they_do_not_know() -> None:
    """A newer writer's entry stops nobody, and neither does a broken one."""
    assert decode_entry("weather/video", b"{}") is None
    assert decode_entry("policy/video/limiter", b"not json") is None
    assert decode_entry("policy/video/limiter", b'{"mode":"sideways"}') is None
    assert decode_entry("policy/video/limiter", b'{"mode":"on","new":1}') == PolicyEntry(Mode.ON)


def test_only_faults_and_overlays_end_by_themselves() -> None:
    """The rest stays until somebody deletes it."""
    assert ttl_s(PolicyEntry(Mode.ON)) is None
    assert ttl_s(FaultRule("f", "abort", "*", ttl_s=10.0)) == 10.0
    assert ttl_s(Overlay("arm")) == OVERLAY_TTL_S == 3.0

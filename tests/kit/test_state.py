"""Which switch, fault, station and number holds for a replica."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import state as module
from kit.entries import Entry, check_entry, ttl_s
from kit.state import DEFAULT_MODES, NO_STATION, LabState, StationSetting, default_mode
from resilience.policy.contract import Mode

FAULT = {"id": "f", "kind": "latency", "target": "video", "params": {"ms": 5}}
OFF = {"mode": "off"}


def lab(entries: Mapping[str, Any]) -> LabState:
    """Build a state of entries as they would be written."""
    checked: dict[str, Entry] = {name: check_entry(name, one) for name, one in entries.items()}
    return LabState(7, checked)


def test_defaults_are_those_of_the_design() -> None:
    """What protects without side effects is on, the rest is in shadow."""
    on = {"deadline", "limiter", "drain", "panic", "outlier", "checks"}
    on |= {"p2c", "static", "cancellation", "retry_budget", "cache", "single_flight"}
    on |= {"quota_local", "slow_clients", "cache_ejection"}
    shadow = {"breaker", "retry", "hedge", "bulkhead", "criticality", "partitions"}
    shadow |= {"fallback", "quota"}
    assert {name for name, mode in DEFAULT_MODES.items() if mode is Mode.ON} == on
    assert {name for name, mode in DEFAULT_MODES.items() if mode is Mode.SHADOW} == shadow
    assert set(DEFAULT_MODES) - on - shadow == {"local_cache"}
    assert default_mode("retry", "l7") is Mode.ON
    assert default_mode("unheard-of", "video") is Mode.OFF
    assert (module.STATION_WORKERS, module.STATION_MEAN_S, module.STATION_CV) == (8, 0.005, 0.25)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, Mode.ON),
        ({"policy/*/limiter": OFF}, Mode.OFF),
        ({"policy/*/limiter": OFF, "policy/video/limiter": {"mode": "shadow"}}, Mode.SHADOW),
        ({"policy/video/limiter": OFF, "policy/video.2/limiter": {"mode": "on"}}, Mode.ON),
        ({"policy/video.1/limiter": OFF}, Mode.ON),
        ({"policy/comment/limiter": OFF}, Mode.ON),
    ],
)  # fmt: skip
def test_the_more_specific_switch_wins(entries: dict[str, Any], expected: Mode) -> None:
    """A replica's entry beats its service's, and that beats everybody's."""
    assert lab(entries).mode("limiter", "video", 2) is expected


def test_an_overlay_lies_over_base_entries_whatever_their_targets() -> None:
    """Even the overlay's ``*`` beats the base entry of the very replica."""
    state = lab(
        {
            "policy/video.2/limiter": {"mode": "on"},
            "overlay": {"id": "arm", "policies": {"*": {"limiter": "off"}}},
        }
    )
    assert state.mode("limiter", "video", 2) is Mode.OFF
    assert state.mode("breaker", "video", 2) is Mode.SHADOW


def test_a_policy_default_switches_off_what_an_arm_does_not_name() -> None:
    """drills.md R5: whatever the arm's row doesn't name is off."""
    state = lab(
        {
            "policy/video/breaker": {"mode": "on"},
            "overlay": {
                "id": "arm",
                "policy_default": "off",
                "policies": {"video": {"limiter": "on"}},
            },
        }
    )
    assert state.mode("limiter", "video", 1) is Mode.ON
    assert state.mode("limiter", "comment", 1) is Mode.OFF
    assert state.mode("breaker", "video", 1) is Mode.OFF
    assert state.mode("retry", "l7", 1) is Mode.OFF


def test_faults_of_base_and_overlay_reach_their_targets() -> None:
    """A rule for a service hits its replicas, one for a replica only that, ``*`` all."""
    state = lab(
        {
            "fault/f": FAULT,
            "overlay": {
                "id": "arm",
                "faults": [
                    {**FAULT, "id": "g", "target": "video.2"},
                    {**FAULT, "id": "h", "target": "*"},
                ],
            },
        }
    )
    assert [rule.id for rule in state.faults_for("video", 1)] == ["f", "h"]
    assert [rule.id for rule in state.faults_for("video", 2)] == ["f", "g", "h"]
    assert [rule.id for rule in state.faults_for("comment", 1)] == ["h"]


def test_a_station_takes_each_figure_from_the_most_specific_entry() -> None:
    """Saying only the mean leaves workers and cv as they were."""
    state = lab(
        {
            "station/video": {"workers": 2, "mean_ms": 100},
            "station/video.2": {"mean_ms": 2000},
            "overlay": {"id": "arm", "stations": {"*": {"cv": 0.5}}},
        }
    )
    assert state.station("video", 1) == StationSetting(2, 0.1, 0.5)
    assert state.station("video", 2) == StationSetting(2, 2.0, 0.5)
    assert state.station("comment", 1) == StationSetting(8, 0.005, 0.5)


def test_only_the_four_services_have_a_station_by_default() -> None:
    """The gateway has a concurrency cap instead, balancers have nothing."""
    assert LabState().station("gateway", 1) == NO_STATION
    assert LabState().station("counter", 3).workers == 8


def test_settings_fall_back_to_the_callers_default() -> None:
    """The overlay's number beats the base's, and the caller's comes last."""
    state = lab(
        {
            "setting/gateway/cap": {"value": 128},
            "overlay": {"id": "arm", "settings": {"gateway.2": {"cap": 16}}},
        }
    )
    assert state.setting("gateway", 1, "cap", 256) == 128
    assert state.setting("gateway", 2, "cap", 256) == 16
    assert LabState().setting("gateway", 2, "cap", 256) == 256


def test_drains_of_base_and_overlay_add_up() -> None:
    """Who is drained by either gets no new requests; ``false`` undoes nothing but itself."""
    state = lab(
        {
            "drain/gateway.1": {"drained": True},
            "drain/gateway.2": {"drained": False},
            "overlay": {"id": "arm", "drains": ["video.2", "video.3"]},
        }
    )
    assert state.is_drained("gateway", 1)
    assert not state.is_drained("gateway", 2)
    assert [state.is_drained("video", replica) for replica in (1, 2, 3)] == [False, True, True]


def test_an_ejection_holds_for_its_target_until_it_ends() -> None:
    """A replica by its own name or its service's; the entry has a life, so it ends by itself."""
    state = lab({"eject/gateway.1": {"ttl_s": 30}, "eject/video": {"ttl_s": 5}})
    assert [state.is_ejected("gateway", replica) for replica in (1, 2)] == [True, False]
    assert state.is_ejected("video", 2)
    assert ttl_s(state.entries["eject/gateway.1"]) == 30


def test_reset_epochs_of_base_and_overlay_add_up() -> None:
    """A change of either changes the sum."""
    assert LabState().reset_epoch() == 0
    assert lab({"reset": {"epoch": 4}}).reset_epoch() == 4
    arm = {"id": "arm", "reset_epoch": 2}
    assert lab({"reset": {"epoch": 4}, "overlay": arm}).reset_epoch() == 6


def test_a_state_prints_its_version_and_arm() -> None:
    """The repr says what a log line needs."""
    assert repr(lab({"reset": {"epoch": 1}})) == "<LabState version 7, 1 entries>"
    assert "overlay arm" in repr(lab({"overlay": {"id": "arm"}}))


@given(
    base=st.dictionaries(st.sampled_from(["*", "video", "video.2"]), st.sampled_from(Mode)),
    over=st.dictionaries(st.sampled_from(["*", "video", "video.2"]), st.sampled_from(Mode)),
    default=st.none() | st.sampled_from(Mode),
)
def test_the_first_answer_in_order_wins(
    base: dict[str, Mode], over: dict[str, Mode], default: Mode | None
) -> None:
    """Overlay by specificity, its default, base by specificity, the lab's default."""
    order = ["video.2", "video", "*"]
    chain = [over.get(one) for one in order] + [default] + [base.get(one) for one in order]
    expected = next((mode for mode in chain if mode is not None), Mode.ON)
    entries: dict[str, Any] = {
        f"policy/{target}/limiter": {"mode": mode.value} for target, mode in base.items()
    }
    entries["overlay"] = {
        "id": "arm",
        "policies": {target: {"limiter": mode.value} for target, mode in over.items()},
        "policy_default": default.value if default else None,
    }
    assert lab(entries).mode("limiter", "video", 2) is expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, "bbr"),
        ({"choice/*/limiter": {"value": "aimd"}}, "aimd"),
        (
            {"choice/*/limiter": {"value": "aimd"}, "choice/video/limiter": {"value": "vegas"}},
            "vegas",
        ),
        ({"choice/video.1/limiter": {"value": "aimd"}}, "bbr"),
    ],
)
def test_a_choice_is_the_most_specific_one(entries: dict[str, object], expected: str) -> None:
    """As with switches: video.2 before video before everybody."""
    assert lab(entries).choice("video", 2, "limiter", "bbr") == expected


def test_a_drill_s_choices_are_its_own() -> None:
    """An arm states its whole set: what somebody chose before it does not reach into it."""
    chosen = {"choice/video/limiter": {"value": "aimd"}}
    limiters = {"video": {"limiter": "vegas"}}
    arm: dict[str, object] = {"id": "a/main", "policy_default": "off", "choices": limiters}

    def choice(overlay: dict[str, object], service: str = "video") -> str:
        return lab({**chosen, "overlay": overlay}).choice(service, 1, "limiter", "bbr")

    assert choice(arm) == "vegas"
    assert choice({**arm, "choices": {}}) == "bbr"
    assert choice({"id": "a", "choices": {}}) == "aimd"

"""The verdict: order of reasons, exercised, margins."""

import pytest

from chaos.drill.arms import control_arm, main_arm, overlay, switch_positions
from chaos.drill.judge import Finding, examine, examine_control, judge
from chaos.drill.metrics import Arrivals
from chaos.drill.observation import Observation
from chaos.drill.schema import Drill
from chaos.drill.soundness import Doubt, Measurement, doubts
from tests.chaos.drill.build import arrivals, drill, record

pytestmark = pytest.mark.unit

LAG = Doubt("generator_lag", "the generator sent 80 ms late")


def findings(of: Drill, *values: float | None) -> list[Finding]:
    """Hold given values against a drill's bounds."""
    from chaos.drill.bound import parse_bound

    pairs = zip(of.hypotheses, values, strict=True)
    return [
        Finding(h, Observation(v, 0.01, 100), parse_bound(h.bound), parse_bound(h.bound).holds(v))
        for h, v in pairs
    ]


def control_findings(of: Drill, *values: float | None) -> list[Finding]:
    """Judge a drill's hypotheses in its control arm, one observed value each."""
    from dataclasses import replace

    from chaos.drill.bound import parse_bound

    must = {r.name: parse_bound(r.bound) for r in of.control.refutations() if r.bound}
    return [replace(f, must_show=must.get(f.hypothesis.name)) for f in findings(of, *values)]


def test_held_with_a_refuted_control_is_held() -> None:
    """What the control doesn't refute is marked as not exercised."""
    tiny = drill()

    verdict = judge(tiny, findings(tiny, 0.99, 1.0), control_findings(tiny, 0.0, 1.0), [])

    assert (verdict.verdict, verdict.exit_code) == ("held", 0)
    assert verdict.control_verdict == "refuted"
    assert [finding.exercised for finding in verdict.findings] == [True, False]


def test_failed_hypothesis_is_refuted() -> None:
    """The reason names it, its figure and its bound."""
    tiny = drill()

    verdict = judge(tiny, findings(tiny, 0.5, 1.0), control_findings(tiny, 0.0, None), [])

    assert (verdict.verdict, verdict.exit_code) == ("refuted", 1)
    assert [reason.message for reason in verdict.reasons] == ["goodput: 0.5, must be ≥ 0.85"]


def test_doubt_outranks_everything() -> None:
    """A lagging generator makes even a refuted drill inconclusive (R9)."""
    tiny = drill()

    verdict = judge(tiny, findings(tiny, 0.5, 1.0), control_findings(tiny, 0.0, 0.0), [LAG])

    assert (verdict.verdict, verdict.exit_code) == ("inconclusive", 4)
    assert verdict.reasons == [LAG]


@pytest.mark.parametrize("in_control", [0.99, 0.5])
def test_control_that_isnt_refuted_is_inconclusive(in_control: float) -> None:
    """Neither when it holds nor when it fails by less than it must (0.5, not 0.30)."""
    tiny = drill()

    verdict = judge(tiny, findings(tiny, 0.99, 1.0), control_findings(tiny, in_control, 1.0), [])

    assert (verdict.verdict, verdict.control_verdict) == ("inconclusive", "held")
    assert [reason.check for reason in verdict.reasons] == ["control_held"]


def test_without_control_nothing_is_said_about_exercise() -> None:
    """Held, refuted or inconclusive by the main arm alone."""
    tiny = drill()

    assert judge(tiny, findings(tiny, 0.99, 1.0), None, []).verdict == "held"
    assert judge(tiny, findings(tiny, 0.1, 1.0), None, []).verdict == "refuted"
    assert judge(tiny, findings(tiny, 0.99, 1.0), None, [LAG]).verdict == "inconclusive"
    assert judge(tiny, findings(tiny, 0.99, 1.0), None, []).findings[0].exercised is None


def test_examination_uses_the_drills_own_metrics() -> None:
    """20 answers a second for 4 s are all of the capacity, and all are quick."""
    good = [record(n, 3 + n * 0.05) for n in range(80)]

    main = examine(drill(), arrivals(good))
    control = examine_control(drill(), arrivals([]))

    assert [finding.held for finding in main] == [True, True]
    assert [finding.is_refuted for finding in control] == [True, True]
    assert control[0].must_show is not None
    assert main[0].margin_sd is not None


def test_phases_that_an_arm_lacks_are_left_out() -> None:
    """An ablation has no recovery to judge."""
    tiny = drill(
        hypotheses=[
            {"name": "goodput", "metric": "goodput_rps", "bound": ">= 1"},
            {
                "name": "r", "metric": "seconds_to_recover", "bound": "<= 1", "phase": "recover",
            },
            {"name": "failed", "metric": "failed_count", "bound": "<= 0", "phase": "all"},
        ]
    )  # fmt: skip
    windows = main_arm(tiny).windows

    found = examine(tiny, arrivals([], fault=windows["fault"]))

    assert [finding.hypothesis.name for finding in found] == ["goodput", "failed"]
    assert examine(tiny, Arrivals([], {}, 1.0)) == []


def sound(**changes: object) -> Measurement:
    """Make a measurement without a fault, but for what is named."""
    figures: dict[str, object] = {
        "arm": "main", "scheduled": 1000, "sent": 1000, "lag_p99_ms": 10.0,
        "loop_lag_p99_ms": {"gateway.1": 20.0}, "cores_used": 1.0, "cores": 2.0,
        "steady_share": 1.0, "steady_wanted": 0.95, "proofs": {"f": 12.0},
    }  # fmt: skip
    return Measurement(**{**figures, **changes})  # type: ignore[arg-type]


def test_sound_measurement_raises_no_doubt() -> None:
    """All figures inside their limits."""
    assert doubts(sound()) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"sent": 989}, "sent"),
        ({"scheduled": 0, "sent": 0}, "sent"),
        ({"lag_p99_ms": 50.1}, "generator_lag"),
        ({"loop_lag_p99_ms": {"video.1": 101.0}}, "loop_lag"),
        ({"cores_used": 1.21}, "cpu"),
        ({"steady_share": 0.94}, "steady_state"),
        ({"proofs": {"f": 0.0}}, "no_proof"),
        ({"lease_lapsed": True}, "lease"),
    ],
)
def test_each_limit_of_r6_is_checked(change: dict[str, object], check: str) -> None:
    """One figure beyond its limit is one doubt, and it names the arm."""
    (doubt,) = doubts(sound(**change))

    assert doubt.check == check
    assert doubt.message.startswith("main arm: ")


def test_loop_that_a_fault_blocks_is_no_doubt() -> None:
    """Lag on purpose, for the service and for the replica."""
    lag = {"gateway.1": 2000.0}

    assert doubts(sound(loop_lag_p99_ms=lag, unsettled=["gateway.1"])) == []
    assert doubts(sound(loop_lag_p99_ms=lag, unsettled=["gateway"])) == []
    assert len(doubts(sound(loop_lag_p99_ms=lag, unsettled=["video"]))) == 1


def test_arms_state_their_whole_policy_set() -> None:
    """What isn't named is off, and the control differs in what is off (R5)."""
    tiny = drill()
    main = overlay(tiny, main_arm(tiny), holder="t", epoch=1)
    control = overlay(tiny, control_arm(tiny), holder="t", epoch=2)

    assert main["policy_default"] == "off"
    assert main["policies"] == {"*": {"deadline": "on"}, "video": {"limiter": "on"}}
    assert control["policies"] == {"*": {"deadline": "on", "limiter": "off"}}
    assert (main["reset_epoch"], control["reset_epoch"]) == (1, 2)
    assert switch_positions(tiny.policies) == main["policies"]


def test_many_late_loops_are_one_doubt() -> None:
    """A machine too busy makes all of them late; the worst is named."""
    (doubt,) = doubts(sound(loop_lag_p99_ms={"l7.1": 856.0, "video.1": 120.0, "l4.1": 9.0}))

    assert doubt.message.endswith(
        "the loop of l7.1 was 856 ms late (p99; at most 100; 2 loops were too late)"
    )
    assert doubts(sound(loop_lag_p99_ms={"l7.1": 856.0, "l4.1": 400.0}, unsettled=["*"])) == []

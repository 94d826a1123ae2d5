"""Drill files: every mistake with its place and the nearest key."""

from pathlib import Path

import pytest

from chaos.drill.catalogue import DRILLS, drill_files, find_drill
from chaos.drill.loading import check_source, load_drill, override
from chaos.drill.schema import Drill
from kit.errors import ConfigError
from kit.source import SourceError, parse_source
from resilience.policy.contract import Mode

pytestmark = pytest.mark.unit

OVERLOAD = DRILLS / "overload.yaml"


def changed(old: str, new: str, path: Path = OVERLOAD) -> Drill:
    """Load a shipped drill with one piece of text replaced."""
    text = path.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in {path.name}"
    return check_source(parse_source(text.replace(old, new, 1), path.name))


@pytest.mark.parametrize("path", drill_files(), ids=lambda path: path.stem)
def test_shipped_drills_are_valid_and_named_as_their_files(path: Path) -> None:
    """What `squall drill list` shows can be run."""
    assert load_drill(path).drill == path.stem


def test_overload_is_row_one_of_the_catalogue() -> None:
    """Capacity 20, list 10 to 200 to 10, three bounds, limiter off in control."""
    drill = load_drill(OVERLOAD)

    assert drill.capacity is not None
    assert (drill.capacity.of, drill.capacity.rps) == ("video", 20)
    video = drill.setup.stations["video"]
    assert (video.workers, video.mean_ms, video.cv) == (2, 100, 0.25)
    assert drill.setup.drains == ("video.2", "video.3")
    assert [phase.rates for phase in drill.load.phases] == [
        {"list": 10}, {"list": 10}, {"list": 200}, {"list": 10},
    ]  # fmt: skip
    assert drill.policies.items() >= {"deadline": Mode.ON, "limiter": {"video": Mode.ON}}.items()
    assert [(h.metric, h.bound) for h in drill.hypotheses] == [
        ("goodput_of_capacity", ">= 0.85"),
        ("share_within", ">= 0.97"),
        ("seconds_to_recover", "<= 5"),
    ]
    assert [(r.name, r.bound) for r in drill.control.refutations()] == [("goodput", "<= 0.30")]
    assert drill.control.off == ("limiter",)


def test_slow_dependency_is_row_two_of_the_catalogue() -> None:
    """Home 10, page 30, cap 16 x 2, comment 2 s later; deadline and bulkhead off in control."""
    drill = load_drill(DRILLS / "slow-dependency.yaml")

    assert drill.phase("fault").rates == {"home": 10, "page": 30}
    assert drill.setup.settings["gateway"]["cap"] == 16
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.params()) == ("latency", "comment", {"ms": 2000})
    assert drill.control.off == ("deadline", "bulkhead")
    assert drill.policies["breaker"] is Mode.ON
    assert [h.bound for h in drill.hypotheses[:3]] == [">= 0.97", ">= 0.97", ">= 0.95"]
    assert [(r.name, r.bound) for r in drill.control.refutations()] == [
        ("home within 300 ms", "<= 0.50")
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("capacity:", "capacty:", "unknown key capacty; did you mean capacity"),
        ('bound: ">= 0.85"', 'bund: ">= 0.85"', "unknown key bund; did you mean bound"),
        ('bound: ">= 0.85"', 'bound: "> 0.85"', "bound is '> 0.85'; write >= 0.85"),
        ("seconds: 20", "seconds: long", "Expected `float`, got `str`"),
        ("seconds: 20", "seconds: 0", "seconds is 0; it must be more than 0"),
        ("name: fault", "name: faul", "there is no faul; did you mean fault?"),
        ("name: fault", "name: warm", "the phases are warm, steady, warm, recover"),
        ("rates: {list: 200}", "rates: {lst: 200}", "unknown route lst; did you mean list?"),
        ("limiter: {video: on}", "limter: on", "unknown policy limter; did you mean limiter"),
        ("metric: share_within", "metric: share_wihtin", "did you mean share_within"),
        ("off: [limiter]", "off: [breaker]", "breaker isn't on in the main arm"),
        ('- {name: goodput, bound: "<=', '- {name: godput, bound: "<=', "did you mean goodput?"),
        ("capacity: {of: video, rps: 20}\n", "", "goodput_of_capacity needs the drill's capacity"),
        ("within_ms: 700, ", "", "share_within needs within_ms"),
        ("drains: [video.2", "drains: [Video!", "no target"),
        ("workers: 2", "workers: 0", "a station needs workers >= 1"),
        ("  gaps:", "  classes: {buyer: {route: list}}\n  gaps:", "no phase sends buyer"),
        ("  gaps:", "  classes: {list: {route: list}}\n  gaps:", "list is a route's name"),
        ("  gaps:", "  classes: {Buyer: {route: list}}\n  gaps:", "Buyer is no class's name"),
        ("  gaps:", "  classes: {buyer: {route: lst}}\n  gaps:", "unknown route lst"),
        ("  gaps:", "  classes: {b: {route: list, tenant: a b}}\n  gaps:", "tenant 'a b' has more"),
        ("  gaps:", "  classes: {b: {route: list, video: 0}}\n  gaps:", "video is 0"),
        (
            "  gaps:",
            "  classes: {b: {route: list, criticality: vital}}\n  gaps:",
            "Invalid enum value 'vital'",
        ),
        ("drains:", "choices: {video: {limiter: vega}}\n  drains:", "did you mean vegas"),
        ("drains:", "choices: {video: {limter: vegas}}\n  drains:", "unknown choice limter"),
    ],
)
def test_mistakes_are_located(old: str, new: str, message: str) -> None:
    """The message begins with file, line and column, and says what to write."""
    with pytest.raises(SourceError) as caught:
        changed(old, new)

    text = str(caught.value)
    assert message in text
    name, line, column, _ = text.split(":", 3)
    assert name == "overload.yaml"
    assert int(line) >= 1
    assert int(column) >= 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: latency", "kind: latensy", "unknown fault latensy; did you mean latency"),
        ("for: 15", "for: 99", "the fault phase has 15 s"),
        ("ms: 2000", "code: 503", "fault latency has no param 'code'"),
    ],
)
def test_faults_are_checked_with_the_rules_of_the_lab(old: str, new: str, message: str) -> None:
    """A rule that control would refuse is refused here, with its place."""
    with pytest.raises(SourceError, match=r"slow-dependency.yaml:\d+:\d+") as caught:
        changed(old, new, DRILLS / "slow-dependency.yaml")

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("load.phases.fault.seconds=7", 7), ("load.phases.2.seconds=8", 8)],
)
def test_overrides_reach_list_items_by_name_and_position(text: str, seconds: float) -> None:
    """--set takes both."""
    assert load_drill(OVERLOAD, [text]).phase("fault").seconds == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("load.phases.fault", "write it as path=value"),
        ("=3", "write it as path=value"),
        ("lod.zipf=2", "there is no lod; did you mean load"),
        ("load.phases.falt.seconds=2", "did you mean fault?"),
        ("load.phases.9=2", "there is no 9"),
        ("chapter.x=1", "inside a plain value"),
        ("chapter.x.y=1", "there is no x"),
        ("load.zapf=2", "unknown key zapf; did you mean zipf"),
    ],
)
def test_overrides_that_lead_nowhere_are_refused(text: str, message: str) -> None:
    """The message names the path and the nearest key."""
    with pytest.raises(SourceError) as caught:
        check_source(override(parse_source(OVERLOAD.read_text(), "overload.yaml"), [text]))

    assert message in str(caught.value)


def test_unknown_drill_names_the_nearest() -> None:
    """Exit code 2."""
    with pytest.raises(ConfigError, match="did you mean overload") as caught:
        find_drill("overlode")

    assert caught.value.exit_code == 2


def test_a_file_is_a_drill_too() -> None:
    """A path to one is taken as it is; one that isn't there is refused."""
    assert find_drill(str(OVERLOAD)) == OVERLOAD
    with pytest.raises(ConfigError, match="there is no file"):
        find_drill("nowhere.yaml")

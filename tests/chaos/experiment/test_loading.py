"""Files of experiments: what is wrong is named with its place."""

import pytest
import yaml

from chaos.experiment.loading import (
    EXPERIMENTS,
    check_experiment,
    experiment_files,
    find_experiment,
    load_experiment,
)
from chaos.experiment.run import quicker, seconds_of
from chaos.experiment.schema import Experiment
from kit.errors import ConfigError
from kit.source import SourceError, parse_source
from tests.chaos.experiment.build import SMALL

pytestmark = pytest.mark.unit

CAPACITY = {"capacity": {"of": "video", "rps": 20}}
EMPTY = {"workers": 0, "mean_ms": 5}
SWEEP = EXPERIMENTS / "limiter-sweep.yaml"


@pytest.mark.parametrize("path", experiment_files(), ids=lambda path: path.stem)
def test_shipped_experiments_are_valid_and_short(path: object) -> None:
    """Named as their files, and none takes longer than twelve minutes."""
    from pathlib import Path

    assert isinstance(path, Path)
    found = load_experiment(path)
    assert found.experiment == path.stem
    assert seconds_of(found) <= 720


def test_the_sweep_is_the_one_of_the_issue() -> None:
    """Every limiter and none, below, at and far above the capacity, three times each."""
    found = load_experiment(SWEEP)
    assert set(found.vary["video.limiter"]) == {
        "off", "bbr", "vegas", "gradient2", "aimd", "envoy",
    }  # fmt: skip
    assert found.vary["load.rate"] == (10, 40, 200)
    assert found.repeat == 3


def test_defaults_are_documented() -> None:
    """Three repeats of 15 s after 5 s, 20 a second of the list, a deadline of one second."""
    found = Experiment(experiment="x", question="?", vary={}, measure=())
    load = found.fix.load
    assert (found.repeat, load.seconds, load.warmup) == (3, 15, 5)
    assert (load.rate, load.mix, load.deadline_ms, load.gaps) == (20, {"list": 1}, 1000, "poisson")
    quick = quicker(found)
    assert (quick.repeat, quick.fix.load.seconds, quick.fix.load.warmup) == (1, 6, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vary": {}}, "nothing is varied"),
        ({"vary": {"limiter": ["on"]}}, "limiter is no setting: write video.limiter"),
        ({"vary": {"video.limiter": []}}, "give at least one value"),
        ({"vary": {"video.limiter": ["on", "on"]}}, "a value stands here twice"),
        ({"vary": {"video.limiter": ["bbrr"]}}, "limiter cannot be bbrr; it can be on, shadow"),
        ({"vary": {"gateway.attempts": ["two"]}}, "attempts is no policy, so its values must be"),
        ({"vary": {"load.speed": [1]}}, "load has no speed to vary; it has rate"),
        ({"vary": {"load.rate": [0]}}, "the rate must be more than 0"),
        ({"vary": {"load.rate": ["fast"]}}, "Expected `float`"),
        ({"vary": {"station.video.size": [1]}}, "a station has no size"),
        ({"vary": {"station.video.workers": ["two"]}}, "workers of a station is a number"),
        ({"repeat": 0}, "repeat is 0; it must be 1 or more"),
        ({"measure": []}, "name at least one of"),
        ({"measure": ["goodput"]}, "unknown measure goodput; did you mean goodput_"),
        ({"measure": ["p99_ms", "p99_ms"]}, "two measures are called p99_ms"),
        ({"measure": ["share_within"]}, "share_within needs within_ms"),
        ({"measure": ["calls_per_request"]}, "calls_per_request needs at"),
        ({"measure": [{"metric": "p99_ms", "at": "video"}]}, "p99_ms takes no at"),
        ({"measure": [{"metric": "p99_ms", "route": "lst"}]}, "unknown route lst"),
        ({"fix": {}}, "goodput_of_capacity needs fix.capacity"),
        ({"fix": {"load": {"mix": {"lst": 1}}}}, "unknown route lst; did you mean list"),
        ({"fix": {"load": {"mix": {"list": 0}}}}, "give weights of which one is more than 0"),
        ({"fix": {"load": {"mix": {"list": -1, "page": 2}}}}, "the weight of list is -1"),
        ({"fix": {"load": {"seconds": 0}}}, "seconds is 0; it must be more than 0"),
        ({"fix": {"load": {"classes": {"list": {"route": "page"}}}}}, "list is a route's name"),
        ({"fix": {"load": {"classes": {"a": {"route": "pge"}}}}}, "unknown route pge"),
        ({"fix": {**CAPACITY, "policies": {"limter": "on"}}}, "unknown policy limter; did you"),
        ({"fix": {**CAPACITY, "set": {"stations": {"video": EMPTY}}}}, "workers >= 1"),
        ({"fix": {"load": {"sed": 1}}}, "unknown key sed"),
    ],
)
def test_mistakes_are_located(change: dict[str, object], said: str) -> None:
    """The message begins with file, line and column, and says what to write."""
    text = yaml.safe_dump({**SMALL, **change})
    with pytest.raises(SourceError) as caught:
        check_experiment(parse_source(text, "small.yaml"))
    assert said in str(caught.value)
    assert str(caught.value).startswith("small.yaml:")


def test_values_may_be_changed_on_the_command_line() -> None:
    """Also those of a factor, whose key has dots of its own."""
    found = load_experiment(
        SWEEP, ["repeat=1", "fix.load.seconds=2", "vary.load.rate=[5, 6]", "vary.gateway.cap=8"]
    )
    assert (found.repeat, found.fix.load.seconds) == (1, 2)
    assert found.vary["load.rate"] == (5, 6)
    assert found.vary["gateway.cap"] == (8,)
    with pytest.raises(SourceError, match=r"write it as vary\.KEY="):
        load_experiment(SWEEP, ["vary.load.rate"])
    with pytest.raises(SourceError, match="there is no fx; did you mean fix"):
        load_experiment(SWEEP, ["fx.load.rate=3"])


def test_an_unknown_experiment_is_answered_with_the_nearest() -> None:
    """By name, or by a file that isn't there."""
    assert find_experiment("limiter-sweep") == SWEEP
    assert find_experiment(str(SWEEP)) == SWEEP
    with pytest.raises(ConfigError, match="did you mean limiter-sweep"):
        find_experiment("limiter-swep")
    with pytest.raises(ConfigError, match=r"there is no file x\.yaml"):
        find_experiment("x.yaml")

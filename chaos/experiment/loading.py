"""From a file to a checked experiment: every mistake with its line, column and nearest key."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from chaos.drill.loading import override
from chaos.drill.mistakes import setup_mistakes
from chaos.drill.schema import ROUTES
from chaos.experiment.factors import cells, drill_of, factor_mistakes
from chaos.experiment.figures import MEASURES
from chaos.experiment.schema import Experiment
from kit.errors import ConfigError
from kit.nearest import nearest
from kit.source import DataPath, Source, SourceError, parse_value, read_source
from kit.source_types import convert_source

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
OF_CAPACITY = ("goodput_of_capacity", "jain_index", "admitted_of_quota")
OF_SERVICE = ("calls_per_request", "origin_calls")
VARY = "vary."


def experiment_files(folder: Path = EXPERIMENTS) -> Sequence[Path]:
    """Return all experiment files, by name."""
    return sorted(folder.glob("*.yaml"))


def find_experiment(name: str, folder: Path = EXPERIMENTS) -> Path:
    """Return the file of an experiment; a path to a file is one too.

    Raises:
        ConfigError: Unknown; names the nearest.
    """
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise ConfigError(f"there is no file {name}")
    path = folder / f"{name}.yaml"
    if path.is_file():
        return path
    known = [file.stem for file in experiment_files(folder)]
    raise ConfigError(f"unknown experiment {name}: {nearest(name, known)}")


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file.

    Args:
        path: The file.
        overrides: ``path=value``, e.g. ``fix.load.rate=30`` or ``vary.load.rate=[10, 20]``.

    Raises:
        SourceError: Names line and column, or the override.
    """
    try:
        source = read_source(path)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text in UTF-8: {error}") from error
    varied = [text for text in overrides if text.startswith(VARY)]
    for text in varied:
        _vary(source, text)
    override(source, [text for text in overrides if text not in varied])
    return check_experiment(source)


def check_experiment(source: Source) -> Experiment:
    """Turn a parsed file into an experiment; raises SourceError."""
    experiment = convert_source(source, Experiment)
    for path, message in _mistakes(experiment):
        raise source.error(path, message)
    return experiment


def _vary(source: Source, text: str) -> None:
    """Change the values of a factor, whose key has dots of its own."""
    key, equals, value = text.removeprefix(VARY).partition("=")
    if not equals:
        raise SourceError(f"--set {text}: write it as vary.KEY=[value, value]")
    levels = parse_value(value)
    vary = source.data.setdefault("vary", {})
    if not isinstance(vary, dict):
        raise SourceError(f"--set {text}: vary is no mapping of keys to values")
    vary[key] = levels if isinstance(levels, list) else [levels]


def _mistakes(experiment: Experiment) -> Iterator[tuple[DataPath, str]]:
    if not experiment.vary:
        yield ("vary",), "nothing is varied: give at least one setting and its values"
    for key, levels in experiment.vary.items():
        for message in factor_mistakes(key, levels):
            yield ("vary", key), message
    if experiment.repeat < 1:
        yield ("repeat",), f"repeat is {experiment.repeat}; it must be 1 or more"
    yield from _load_mistakes(experiment)
    yield from _measure_mistakes(experiment)
    for cell in cells(experiment):
        try:
            drill = drill_of(experiment, cell)
        except msgspec.ValidationError as error:
            yield ("vary",), f"{cell}: {error}"
            return
        for phase in drill.load.phases:
            if min(phase.rates.values(), default=0.0) < 0 or sum(phase.rates.values()) <= 0:
                yield ("vary",), f"{dict(cell)}: the rate must be more than 0"
        yield from ((("fix", *path), message) for path, message in setup_mistakes(drill))


def _load_mistakes(experiment: Experiment) -> Iterator[tuple[DataPath, str]]:
    load = experiment.fix.load
    at: DataPath = ("fix", "load")
    for name in ("rate", "seconds", "warmup", "deadline_ms", "give_up_s"):
        if getattr(load, name) <= 0:
            yield (*at, name), f"{name} is {getattr(load, name):g}; it must be more than 0"
    known = (*ROUTES, *load.classes)
    for name, weight in load.mix.items():
        if name not in known:
            yield (*at, "mix", name), f"unknown route {name}; {nearest(name, known)}"
        if weight < 0:
            yield (*at, "mix", name), f"the weight of {name} is {weight:g}; give 0 or more"
    if sum(load.mix.values()) <= 0:
        yield (*at, "mix"), "give weights of which one is more than 0"
    for name, each in load.classes.items():
        if name in ROUTES:
            yield (*at, "classes", name), f"{name} is a route's name; give the class another"
        if each.route not in ROUTES:
            hint = nearest(each.route, ROUTES)
            yield (*at, "classes", name, "route"), f"unknown route {each.route}; {hint}"


def _measure_mistakes(experiment: Experiment) -> Iterator[tuple[DataPath, str]]:
    if not experiment.measure:
        yield ("measure",), f"name at least one of {', '.join(MEASURES)}"
    known = (*ROUTES, *experiment.fix.load.classes)
    titles = [measure.title for measure in experiment.measures]
    for index, measure in enumerate(experiment.measures):
        at: DataPath = ("measure", index)
        if measure.metric not in MEASURES:
            yield at, f"unknown measure {measure.metric}; {nearest(measure.metric, MEASURES)}"
        if measure.metric in OF_CAPACITY and experiment.fix.capacity is None:
            yield at, f"{measure.metric} needs fix.capacity, e.g. {{of: video, rps: 20}}"
        if (measure.metric in OF_SERVICE) is not bool(measure.at):
            needs = "takes no at" if measure.at else "needs at, a service, e.g. at: video"
            yield at, f"{measure.metric} {needs}"
        if measure.metric == "share_within" and not measure.within_ms:
            yield at, "share_within needs within_ms"
        if measure.route and measure.route not in known:
            yield at, f"unknown route {measure.route}; {nearest(measure.route, known)}"
        if titles.count(measure.title) > 1:
            yield at, f"two measures are called {measure.title}; give one a name"

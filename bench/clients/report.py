"""Report: the table and the JSON of the clients' part of ``squall bench shard``."""

from collections.abc import Mapping, Sequence

from bench.clients.load import LEVELS, VALUE_BYTES, WRITE_EVERY
from bench.clients.run import Measured
from bench.clients.summary import AIMS, Figure

HEAD = ("callers", "client", "ops/s", "CPU µs", "ours per CPU s", "ours per s", "")
LEGEND = (
    f"One process, one cluster; {100 - 100 // WRITE_EVERY} % GET, {100 // WRITE_EVERY} % SET of "
    f"{VALUE_BYTES} bytes. CPU: of the client's process per operation, its threads included. The "
    "ratios say how much more ours does per CPU second, and per second: taken in each round, then "
    "the median. Aims: "
    + ", ".join(
        f"{aim.ratio:g} of {aim.peer} at {aim.callers} per {'CPU second' if aim.by_cpu else 's'}"
        for aim in AIMS
    )
    + "."
)


def rows(found: Sequence[Figure], absent: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD``; who is absent has one, with the reason."""
    measured: list[tuple[str, ...]] = [
        (
            f"{each.callers}",
            each.name,
            f"{each.ops_s:,.0f}",
            f"{each.cpu_us:.1f}",
            _ratio(each.cpu_ratio),
            _ratio(each.speed_ratio),
            each.verdict,
        )
        for each in found
    ]
    return measured + [("", name, "", "", "", "", why) for name, why in absent.items()]


def as_json(
    run: Measured, found: Sequence[Figure], rounds: int, seconds: float
) -> Mapping[str, object]:
    """Return the section ``clients``."""
    return {
        "levels": list(LEVELS),
        "rounds": rounds,
        "seconds": seconds,
        "write_every": WRITE_EVERY,
        "value_bytes": VALUE_BYTES,
        "versions": run.versions,
        "absent": run.absent,
        "aims": [each._asdict() for each in AIMS],
        "figures": [{**each._asdict(), "verdict": each.verdict} for each in found],
        "samples": [
            {"client": name, "callers": callers, "rounds": [each._asdict() for each in spent]}
            for (name, callers), spent in run.samples.items()
        ],
    }


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}x"

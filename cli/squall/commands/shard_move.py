"""``squall shard plan|add|remove|rebalance|resume|cancel``: change who owns which slots."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag
from squall.store_reach import SPARE, SeedsOption

if TYPE_CHECKING:
    from shard.move.pace import Rates
    from squall.store_change import Change

AlgorithmOption = Annotated[
    str, typer.Option(help="slot-map: the least moves; maglev; modulo: nearly all, to see it.")
]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before it moves.")]
RateOption = Annotated[float, typer.Option(help="Keys copied per second at most.", metavar="KEYS")]
SlotRateOption = Annotated[
    float, typer.Option(help="Slots moved per second at most.", metavar="SLOTS")
]
AddOption = Annotated[
    str,
    typer.Option(
        "--add", help="A new shard: primary and replica, host:port,host:port; spare: the lab's."
    ),
]
RemoveOption = Annotated[
    str,
    typer.Option(
        "--remove", help="A shard that leaves, by a node: host:port or, in the lab, store-7."
    ),
]
# shard.move.pace has the same, with their source; a test holds them together.
DEFAULT_RATE = 5000.0
DEFAULT_SLOT_RATE = 64.0


def register(app: typer.Typer) -> None:
    """Hang this family's commands into ``squall shard``."""
    for name, command in (
        ("plan", plan),
        ("add", add),
        ("remove", remove),
        ("rebalance", rebalance),
        ("resume", resume),
        ("cancel", cancel),
    ):
        app.command(name)(command)


def plan(
    add: AddOption = "",
    remove: RemoveOption = "",
    algorithm: AlgorithmOption = "slot-map",
    out: Annotated[
        Path | None, typer.Option(help="Write the plan to a file, for `rebalance --plan`.")
    ] = None,
    seeds: SeedsOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Show what a change would move: slots, keys, bytes, shares. Nothing is moved.

    Without --add and --remove it is the change to even shares.
    """
    change = _change(add, remove, algorithm, seeds)
    if out is not None:
        _need_seeds(seeds, "--out")
    nodes = _reach(seeds, ["plan", *change.argv], as_json=as_json)
    from squall.store_moves import show_plan
    from squall.store_reach import run

    run(show_plan(nodes, change, out, as_json=as_json))


def add(
    primary: Annotated[
        str, typer.Argument(help="host:port of a fresh node; none: the lab's spare ones.")
    ] = "",
    replica: Annotated[str, typer.Argument(help="host:port of another, which follows it.")] = "",
    algorithm: AlgorithmOption = "slot-map",
    yes: YesFlag = False,
    rate: RateOption = DEFAULT_RATE,
    slot_rate: SlotRateOption = DEFAULT_SLOT_RATE,
    seeds: SeedsOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Let two fresh nodes in as a shard, and move its share of the slots to it."""
    change = _change(f"{primary},{replica}" if primary else SPARE, "", algorithm, seeds)
    argv = ["add", *filter(None, (primary, replica)), "--algorithm", algorithm]
    _move(change, argv, None, yes=yes, rates=_rates(rate, slot_rate), seeds=seeds, as_json=as_json)


def remove(
    node: Annotated[
        str, typer.Argument(help="host:port, or in the lab store-7: a node of the shard.")
    ],
    algorithm: AlgorithmOption = "slot-map",
    yes: YesFlag = False,
    rate: RateOption = DEFAULT_RATE,
    slot_rate: SlotRateOption = DEFAULT_SLOT_RATE,
    seeds: SeedsOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Move everything off a shard, then have its nodes forgotten."""
    change = _change("", node, algorithm, seeds)
    argv = ["remove", node, "--algorithm", algorithm]
    _move(change, argv, None, yes=yes, rates=_rates(rate, slot_rate), seeds=seeds, as_json=as_json)


def rebalance(
    algorithm: AlgorithmOption = "slot-map",
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="Carry out what `plan --out` wrote.")
    ] = None,
    yes: YesFlag = False,
    rate: RateOption = DEFAULT_RATE,
    slot_rate: SlotRateOption = DEFAULT_SLOT_RATE,
    seeds: SeedsOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Move slots so that every shard has the same share, or as a plan file says."""
    if plan_file is not None:
        _need_seeds(seeds, "--plan")
    change = _change("", "", algorithm, seeds)
    argv = ["rebalance", "--algorithm", algorithm]
    _move(
        change,
        argv,
        plan_file,
        yes=yes,
        rates=_rates(rate, slot_rate),
        seeds=seeds,
        as_json=as_json,
    )


def resume(
    rate: RateOption = DEFAULT_RATE,
    slot_rate: SlotRateOption = DEFAULT_SLOT_RATE,
    seeds: SeedsOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Go on with a move whose mover was killed; what it had done stays done."""
    rates = _rates(rate, slot_rate)
    nodes = _reach(seeds, ["resume", *_rates_argv(rates)], as_json=as_json)
    from squall.store_moves import go_on
    from squall.store_reach import run

    run(go_on(nodes, rates, as_json=as_json))


def cancel(seeds: SeedsOption = "", as_json: JsonFlag = False) -> None:
    """End a move: the slot in hand goes back, or on where keys have left; what is done stays."""
    nodes = _reach(seeds, ["cancel"], as_json=as_json)
    from squall.store_moves import call_off
    from squall.store_reach import run

    run(call_off(nodes, as_json=as_json))


def _move(
    change: "Change",
    argv: list[str],
    plan_file: Path | None,
    *,
    yes: bool,
    rates: "Rates",
    seeds: str,
    as_json: bool,
) -> None:
    """Show, ask, move; in the lab each of the three where it can be done."""
    if not seeds and not yes:
        _show_then_ask(change)
    nodes = _reach(seeds, [*argv, *_rates_argv(rates), "--yes"], as_json=as_json)
    from squall.store_moves import carry_out
    from squall.store_reach import run

    run(carry_out(nodes, change, plan_file, rates, ask=not yes, as_json=as_json))


def _show_then_ask(change: "Change") -> None:
    from squall.store_moves import confirm

    try:
        plan(
            add=",".join(change.add),
            remove=change.remove,
            algorithm=change.algorithm,
        )
    except typer.Exit as ended:
        if ended.exit_code:
            raise
    confirm()


def _reach(seeds: str, argv: list[str], *, as_json: bool):  # type: ignore[no-untyped-def]
    from squall.store_reach import seeds_or_inside

    return seeds_or_inside(seeds, [*argv, *(["--json"] if as_json else [])])


def _change(add: str, remove: str, algorithm: str, seeds: str) -> "Change":
    from squall.store_change import read_change

    return read_change(add, remove, algorithm, in_lab=not seeds)


def _need_seeds(seeds: str, option: str) -> None:
    from kit.errors import ConfigError

    if not seeds:
        raise ConfigError(f"{option} works with --seeds: the lab's nodes can't see this folder")


def _rates(keys_s: float, slots_s: float) -> "Rates":
    from kit.errors import ConfigError
    from shard.move.pace import Rates

    for option, value, what in (("--rate", keys_s, "keys"), ("--slot-rate", slots_s, "slots")):
        if not value >= 1.0:
            raise ConfigError(f"{option} {value:g}: give {what} per second, 1 or more")
    return Rates(keys_s, slots_s)


def _rates_argv(rates: "Rates") -> list[str]:
    return ["--rate", f"{rates.keys_s:g}", "--slot-rate", f"{rates.slots_s:g}"]

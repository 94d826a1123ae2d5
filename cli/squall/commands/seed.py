"""``squall seed``: write the data set into the running lab's store."""

from typing import Annotated

import typer

from squall.output import JsonFlag, nearest

SIZE_NAMES = ("small", "full")  # squall.dataset has what they mean; a test holds the two together
SEED_INSIDE = "account"  # any service that knows the store would do


def seed(
    size: Annotated[
        str, typer.Option(help="small: 1,000 accounts, 200 videos, 5,000 comments; full: 50 times.")
    ] = "small",
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Do nothing when there is a data set.")
    ] = False,
    number: Annotated[
        int, typer.Option("--seed", help="Another number gives other names and counts.")
    ] = 17,
    as_json: JsonFlag = False,
) -> None:
    """Write a reproducible data set; running it twice changes nothing."""
    from kit.errors import ConfigError

    if size not in SIZE_NAMES:
        raise ConfigError(f"there is no size {size!r}: {nearest(size, SIZE_NAMES)}")
    from chaos.lab import find_lab

    argv = ["python", "-m", "squall.seed", "--size", size, "--seed", str(number)]
    argv += ["--if-empty"] if if_empty else []
    argv += ["--json"] if as_json else []
    raise typer.Exit(find_lab().run_inside(SEED_INSIDE, argv))

"""Load and summary: what callers do, and what the samples come to."""

import pytest

from bench.clients.contenders import CONTENDERS, OURS, Client
from bench.clients.load import KEYS, LEVELS, VALUE_BYTES, WRITE_EVERY, Spent, fill, load, order_of
from bench.clients.report import HEAD, LEGEND, rows
from bench.clients.summary import AIMS, Aim, figures, missing_aims


class Notebook:
    """A client that writes down what it is asked."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.writes: list[tuple[str, bytes]] = []

    @property
    def client(self) -> Client:
        async def get(key: str) -> None:
            self.reads.append(key)

        async def put(key: str, value: bytes) -> None:
            self.writes.append((key, value))

        async def close() -> None:
            """Nothing to end."""

        return Client(get, put, close)


def test_aims_and_levels_are_the_issue_s() -> None:
    """Issue 6, "Figures"."""
    assert LEVELS == (1, 64, 512)
    assert (WRITE_EVERY, VALUE_BYTES) == (10, 100)
    assert (
        Aim("redis-py", 64, True, 8.0),
        Aim("valkey-glide", 64, True, 4.0),
        Aim("redis-py", 1, False, 1.0),
    ) == AIMS
    assert set(CONTENDERS) == {OURS, "redis-py", "coredis", "valkey-glide"}


async def test_callers_read_nine_times_and_write_once() -> None:
    """Over all keys, values of a hundred bytes."""
    notebook = Notebook()
    await fill(notebook.client)
    assert [key for key, _ in notebook.writes] == list(KEYS)
    notebook.writes.clear()

    spent = await load(notebook.client, 1, 0.05)

    assert spent.ops_s > 0
    assert spent.cpu_us > 0
    assert len(notebook.reads) / len(notebook.writes) == pytest.approx(9, rel=0.1)
    assert set(notebook.reads) == set(KEYS)
    assert {len(value) for _, value in notebook.writes} == {VALUE_BYTES}


def test_each_round_begins_with_another_one() -> None:
    """So that a slow moment doesn't always hit the same."""
    orders = [order_of(number, ["a", "b"]) for number in range(2)]
    assert [order[0] for order in orders] == [("a", 1), ("b", 1)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def samples(ours_us: float, theirs_us: float, theirs_ops_s: float = 100.0) -> object:
    """Make three rounds of two clients, alike at each level but for a slow round of both."""
    made: dict[tuple[str, int], list[Spent]] = {}
    for callers in LEVELS:
        for name, cpu_us, ops_s in (
            (OURS, ours_us, 100.0),
            ("redis-py", theirs_us, theirs_ops_s),
        ):
            made[name, callers] = [Spent(ops_s / slow, cpu_us * slow) for slow in (1, 1, 9)]
    return made


@pytest.mark.parametrize(
    ("theirs_us", "theirs_ops_s", "at_64", "at_1"),
    [(80.0, 100.0, "held", "held"), (79.0, 101.0, "missed", "missed")],
)
def test_ratios_are_taken_round_by_round(
    theirs_us: float, theirs_ops_s: float, at_64: str, at_1: str
) -> None:
    """A round in which the machine was slow for both changes no ratio."""
    found = figures(samples(10.0, theirs_us, theirs_ops_s))  # type: ignore[arg-type]
    peer = {each.callers: each for each in found if each.name == "redis-py"}
    assert peer[64].cpu_ratio == pytest.approx(theirs_us / 10)
    assert (peer[64].verdict, peer[1].verdict, peer[512].verdict) == (at_64, at_1, "")
    assert [each.cpu_us for each in found if each.name == OURS] == [10.0] * 3


def test_who_is_absent_is_shown_with_the_reason() -> None:
    """And an aim without its peer is unknown."""
    found = figures(samples(1.0, 2.0))  # type: ignore[arg-type]
    shown = rows(found, {"coredis": "not installed"})
    assert all(len(row) == len(HEAD) for row in shown)
    assert shown[-1] == ("", "coredis", "", "", "", "", "not installed")
    assert shown[1][:2] == ("1", "redis-py")
    assert "8 of redis-py at 64 per CPU second" in LEGEND
    assert missing_aims([OURS, "redis-py"]) == ["valkey-glide"]

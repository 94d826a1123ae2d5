"""A run is repeated when the machine spoiled it, and given up after three."""

import pytest

from bench.limiters.contenders import Contender, contender
from bench.limiters.run import MOST_TRIES, Run, Runner
from kit.errors import LabEnvironmentError
from tests.bench.limiters.made import run

pytestmark = pytest.mark.unit
GOOD, SPOILED, BROKEN = run(), run(records=()), None


def runner(monkeypatch: pytest.MonkeyPatch, *ends: Run | None) -> Runner:
    """Make a runner whose runs end like this, one after the other."""
    left = list(ends)

    async def once(self: Runner, each: Contender, cv: float) -> Run:
        end = left.pop(0)
        if end is None:
            raise LabEnvironmentError("the client ended early")
        return end

    monkeypatch.setattr(Runner, "_once", once)
    return Runner()


@pytest.mark.parametrize(
    ("ends", "tries"),
    [
        ((GOOD,), 1),
        ((SPOILED, GOOD), 2),
        ((BROKEN, GOOD), 2),
        ((SPOILED, BROKEN, GOOD), 3),
        ((SPOILED, SPOILED, SPOILED), 3),
    ],
)
async def test_a_run_is_repeated_until_it_is_sound(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[Run | None, ...], tries: int
) -> None:
    """Twice at most; the last is kept as it is, and says how often it was run."""
    done = await runner(monkeypatch, *ends).run(contender("none"), 1.0)

    assert done.tries == tries
    assert done.is_sound == (ends[-1] is GOOD)


async def test_a_run_that_breaks_each_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one's own."""
    with pytest.raises(LabEnvironmentError, match="ended early"):
        await runner(monkeypatch, *(BROKEN,) * MOST_TRIES).run(contender("none"), 1.0)

"""Bare: each path with no policy on it; subtracted, so that a figure is the guarding alone."""

from bench.contender import Path, Step, Work, WorkError


def bare_step(work: Work, path: Path, *, is_async: bool) -> Step:
    """Return what a step does besides asking a policy."""
    if path is Path.REJECTION:
        return _anothing if is_async else _nothing
    if path is Path.HAPPY:
        return _acall(work) if is_async else _call(work)
    return _afail(work) if is_async else _fail(work)


def _nothing() -> None:
    return


async def _anothing() -> None:
    return


def _call(work: Work) -> Step:
    call = work.call

    def step() -> None:
        call()

    return step


def _acall(work: Work) -> Step:
    call = work.acall

    async def step() -> None:
        await call()

    return step


def _fail(work: Work) -> Step:
    fail = work.fail

    def step() -> None:
        for _ in range(Path.GIVE_UP.value):
            try:
                fail()
            except WorkError:
                continue

    return step


def _afail(work: Work) -> Step:
    fail = work.afail

    async def step() -> None:
        for _ in range(Path.GIVE_UP.value):
            try:
                await fail()
            except WorkError:
                continue

    return step

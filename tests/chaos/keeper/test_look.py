"""What two looks at an instance prove."""

import pytest

from chaos.keeper.look import MIB, Look, is_hit, tell

pytestmark = pytest.mark.unit

UP = Look("running", incarnation="process 1", cpu_s=5.0, held_s=1.0, limits={"memory": -1})
DOWN = Look("stopped", exit_code=0)


@pytest.mark.parametrize(
    ("kind", "now", "hit", "said"),
    [
        ("kill", Look("stopped", exit_code=137), True, "exit code 137"),
        ("kill", Look("stopped", exit_code=-9), True, "exit code -9"),
        ("kill", Look("stopped", exit_code=0), False, "exit code 0"),
        ("kill", UP, False, "running"),
        ("stop", Look("stopped", exit_code=143), True, "exit code 143"),
        ("restart", UP, False, "process 1 is ending"),
        ("restart", Look("running", "process 2"), True, "process 1 became process 2"),
        ("restart", DOWN, False, "process 1 became stopped"),
        ("pause", Look("paused", "process 1"), True, "paused"),
        ("pause", UP, False, "running"),
        ("isolate", UP, False, "0 packets to and from other nodes swallowed"),
        (
            "isolate",
            Look("running", "process 1", dropped=3),
            True,
            "3 packets to and from other nodes swallowed",
        ),
        ("cpu", UP, False, "used 0.00 cores, held for 0.0 s"),
        (
            "cpu",
            Look("running", "process 1", cpu_s=6.0, held_s=2.5),
            True,
            "used 0.10 cores, held for 1.5 s",
        ),
        (
            "cpu",
            Look("running", "process 2", cpu_s=1.0, held_s=0.5),
            True,
            "used 0.10 cores, held for 0.5 s",
        ),
        ("memory", UP, False, "no limit, resident 0 MiB"),
        (
            "memory",
            Look("running", memory_bytes=30 * MIB, limits={"memory": 64 * MIB}),
            True,
            "limit 64 MiB, resident 30 MiB",
        ),
        (
            "memory",
            Look("running", limits={"memory": 96 * MIB}, limit_of=" of data"),
            True,
            "limit 96 MiB of data, resident 0 MiB",
        ),
    ],
)
def test_a_hit_is_what_was_seen(kind: str, now: Look, hit: bool, said: str) -> None:
    """Each kind by its own effect, told in words, ten seconds after it began."""
    assert is_hit(kind, UP, now) is hit
    assert tell(kind, UP, now, 10.0) == said


@pytest.mark.parametrize("kind", ["kill", "stop", "restart", "pause", "cpu", "memory"])
def test_what_was_down_or_is_gone_proves_nothing(kind: str) -> None:
    """Neither an instance that didn't run nor one that doesn't exist is a hit."""
    killed = Look("stopped", exit_code=137)
    assert not is_hit(kind, DOWN, killed)
    assert tell(kind, DOWN, killed, 1.0) == "was not running"
    assert not is_hit(kind, UP, Look("gone"))
    assert tell(kind, UP, Look("gone"), 1.0) == "does not exist any more"

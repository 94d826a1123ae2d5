"""When a process that ended is started again."""

import pytest

from chaos.compose import Restart
from chaos.supervisor.restart import FIRST_DELAY_S, LONGEST_DELAY_S, STEADY_AFTER_S, RestartRule


def test_delays_double_up_to_the_longest() -> None:
    """A process that fails at once waits 0.1, 0.2, 0.4 … and then 5 s each time."""
    rule = RestartRule("unless-stopped")

    assert [rule.on_end(1, 0.0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_steady_run_forgets_earlier_ends() -> None:
    """Ten seconds of running bring the delay back to the first."""
    rule = RestartRule("unless-stopped")
    for _ in range(5):
        rule.on_end(1, 0.0)

    assert rule.on_end(1, 10.0) == FIRST_DELAY_S


def test_a_start_by_hand_forgets_earlier_ends() -> None:
    """Reset brings the delay back to the first."""
    rule = RestartRule("unless-stopped", ends=5)

    rule.reset()

    assert rule.on_end(1, 0.0) == FIRST_DELAY_S


@pytest.mark.parametrize(
    ("restart", "code", "is_started"),
    [
        ("no", 0, False),
        ("no", 1, False),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
        ("on-failure", -9, True),
        ("unless-stopped", 0, True),
        ("unless-stopped", -15, True),
    ],
)
def test_the_rule_decides_by_exit_code(restart: Restart, code: int, is_started: bool) -> None:
    """Only on-failure looks at the code; a signal is a failure."""
    assert (RestartRule(restart).on_end(code, 0.0) is not None) is is_started


def test_defaults_are_docker_s_but_for_the_longest() -> None:
    """100 ms, forgotten after 10 s, and 5 s where Docker has a minute."""
    assert (FIRST_DELAY_S, STEADY_AFTER_S, LONGEST_DELAY_S) == (0.1, 10.0, 5.0)

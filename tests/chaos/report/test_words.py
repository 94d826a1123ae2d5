"""The verdict in words."""

import pytest

from chaos.report.words import claim, finding_row, headline, sentences
from tests.chaos.report.build import finding, verdict

pytestmark = pytest.mark.unit


def test_a_held_drill_says_both_sides() -> None:
    """With the protection it holds, without it the same figure fails."""
    said = sentences(verdict())

    assert said[0] == "With the protection: goodput was 1.02 of capacity, ≥ 0.85."
    assert said[1] == "Without limiter: goodput was 0.06 of capacity, not ≥ 0.85."
    assert said[-1] == "The closest deciding figure was 4.4 standard deviations away."


def test_held_without_a_control_claims_less() -> None:
    """Nothing says that the protection did it."""
    assert "only a control shows" in headline(verdict(control=None))
    assert "No control arm was run" in " ".join(sentences(verdict(control=None)))


@pytest.mark.parametrize(
    ("reached", "word"), [("held", "Held"), ("refuted", "Refuted"), ("inconclusive", "Inconclu")]
)
def test_each_verdict_has_its_sentence(reached: str, word: str) -> None:
    """It begins with the word."""
    assert headline(verdict(verdict=reached)).startswith(word)


def test_what_was_not_exercised_is_named() -> None:
    """It holds in the control as well."""
    said = sentences(verdict(hypotheses=[finding("back to normal", exercised=False)]))

    assert "Not exercised, since the control kept it too: back to normal." in said


def test_what_never_happened_is_never() -> None:
    """In words and in the table."""
    never = finding(observed=None, sd=None, held=False)

    assert claim(never) == "goodput was never, not ≥ 0.85"
    assert finding_row(never)[1] == "never"

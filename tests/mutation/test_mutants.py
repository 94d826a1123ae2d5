"""Mutants: which there are, what each changes, and that nothing else does."""

import ast

import pytest

from tests.mutation.mutants import INVERSE, mutants_of, mutate

pytestmark = pytest.mark.unit

SOURCE = """\
LIMIT = 3


class Gate:
    def admit(self, count, names):
        if not names or 0 <= count < LIMIT:
            return count is None
        return "a" in names


def plain():
    return 1 + 1
"""


def test_each_comparison_and_operator_is_one_mutant_with_its_place() -> None:
    """A chain has a mutant for each link; arithmetic has none."""
    found = [(each.line, each.where, each.before, each.after) for each in mutants_of(SOURCE)]

    assert found == [
        (6, "Gate.admit", "not names or 0 <= count < LIMIT", "not names and 0 <= count < LIMIT"),
        (6, "Gate.admit", "not names", "names"),
        (6, "Gate.admit", "0 <= count < LIMIT", "0 > count < LIMIT"),
        (6, "Gate.admit", "0 <= count < LIMIT", "0 <= count >= LIMIT"),
        (7, "Gate.admit", "count is None", "count is not None"),
        (8, "Gate.admit", "'a' in names", "'a' not in names"),
    ]


@pytest.mark.parametrize("index", range(6))
def test_a_mutant_changes_one_expression_and_keeps_its_line(index: int) -> None:
    """Only the line of the mutant differs from the original."""
    mutant = mutants_of(SOURCE)[index]
    before = ast.unparse(ast.parse(SOURCE)).splitlines()
    changed = mutate(SOURCE, index)
    after = ast.unparse(changed).splitlines()

    differing = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert len(differing) == 1
    assert mutant.after in differing[0][1].replace('"', "'")
    lines = {node.lineno for node in ast.walk(changed) if isinstance(node, ast.expr)}
    assert mutant.line in lines
    compile(changed, "gate.py", "exec")


def test_every_comparison_of_the_language_has_an_inverse() -> None:
    """And the inverse of the inverse is the comparison itself."""
    assert set(INVERSE) == set(ast.cmpop.__subclasses__())
    assert all(INVERSE[other] is one for one, other in INVERSE.items())


def test_there_are_no_more_mutants_than_listed() -> None:
    """The number after the last is an error."""
    with pytest.raises(IndexError):
        mutate(SOURCE, 6)

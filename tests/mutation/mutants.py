"""Mutants: every way to turn one comparison or boolean operator of a module round.

Why only these: a policy is thresholds. A comparison that can be inverted without a test failing is
a threshold that nobody holds. Arithmetic mutants say less and cost more runs.

    a < b     becomes  a >= b        (each link of a chain by itself)
    a and b   becomes  a or b
    not a     becomes  a
"""

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

INVERSE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SWAPPED: dict[type[ast.boolop], type[ast.boolop]] = {ast.And: ast.Or, ast.Or: ast.And}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Args:
        index: Its number within the module; ``mutate`` takes it.
        line: Where, from 1.
        where: Name of the class and function it is in; "" at module level.
        before: The expression as it is.
        after: The expression as the mutant has it.
    """

    index: int
    line: int
    where: str
    before: str
    after: str


def mutants_of(source: str) -> list[Mutant]:
    """List the mutants of a module, in the order of its text."""
    return [
        Mutant(index, node.lineno, where, ast.unparse(node), ast.unparse(_changed(node, link)))
        for index, (node, link, where) in enumerate(_sites(ast.parse(source)))
    ]


def mutate(source: str, index: int) -> ast.Module:
    """Parse a module and make one change; lines stay as they were.

    Raises:
        IndexError: The module has fewer mutants.
    """
    tree = ast.parse(source)
    site, link, _ = list(_sites(tree))[index]
    _Replace(site, _changed(site, link)).visit(tree)
    return ast.fix_missing_locations(tree)


def _sites(tree: ast.AST, where: str = "") -> Iterator[tuple[ast.expr, int, str]]:
    """Walk in the order of the text; yield the expression, the link of a chain, and where."""
    for child in ast.iter_child_nodes(tree):
        inside = where
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{where}.{child.name}".lstrip(".")
        elif isinstance(child, ast.Compare):
            yield from ((child, link, where) for link in range(len(child.ops)))
        elif isinstance(child, ast.BoolOp | ast.UnaryOp) and _is_logical(child):
            yield child, 0, where
        yield from _sites(child, inside)


def _is_logical(node: ast.BoolOp | ast.UnaryOp) -> bool:
    return isinstance(node, ast.BoolOp) or isinstance(node.op, ast.Not)


def _changed(node: ast.expr, link: int) -> ast.expr:
    changed = deepcopy(node)
    if isinstance(changed, ast.Compare):
        changed.ops[link] = INVERSE[type(changed.ops[link])]()
    elif isinstance(changed, ast.BoolOp):
        changed.op = SWAPPED[type(changed.op)]()
    else:
        assert isinstance(changed, ast.UnaryOp), f"no mutant is made of {ast.dump(node)}"
        return changed.operand
    return changed


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self._old = old
        self._new = ast.copy_location(new, old)

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return self._new
        visited: ast.AST = self.generic_visit(node)
        return visited

"""How even subsets are, and what one backend more changes, and print it.

    python -m tests.lb.policy.subset_course

Three ways: at random, deterministic, and rocksteadier.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lb.policy.rocksteadier import rocksteadier
from lb.policy.subset import subset

Deal = Callable[[Sequence[str], int, int], list[str]]
CASES = ((300, 300, 20), (300, 1000, 20), (59, 100, 10))  # backends, clients, size


def at_random(backends: Sequence[str], client: int, size: int) -> list[str]:
    """Return a sample drawn by the client's number."""
    return random.Random(client).sample(backends, size)


DEALS: dict[str, Deal] = {
    "random": at_random,
    "deterministic": subset,
    "rocksteadier": rocksteadier,
}


class Marks(NamedTuple):
    """Connections of the least and the most loaded over the mean, and the share that moves."""

    least: float
    most: float
    moved: float


def measure(deal: Deal, backends: int, clients: int, size: int) -> Marks:
    """Return the marks of one way; a connection moves when one backend is added."""
    names = [f"b{n}" for n in range(backends)]
    more = [*names, f"b{backends}"]
    loads = Counter(dict.fromkeys(names, 0))
    moved = 0
    for client in range(clients):
        dealt = deal(names, client, size)
        loads.update(dealt)
        moved += len(set(dealt) - set(deal(more, client, size)))
    mean = clients * size / backends
    return Marks(min(loads.values()) / mean, max(loads.values()) / mean, moved / (clients * size))


def main() -> None:
    """Print the table of docs/policies/balancing.md."""
    print("| backends, clients, size | way | least | most | moved |\n|---|---|---|---|---|")
    for backends, clients, size in CASES:
        for name, deal in DEALS.items():
            marks = measure(deal, backends, clients, size)
            case = f"{backends}, {clients}, {size}"
            print(f"| {case} | {name} | {marks.least:.2f} | {marks.most:.2f} | {marks.moved:.1%} |")


if __name__ == "__main__":
    main()

"""How long until an endpoint that fails a share of its requests is ejected, and print it.

    python -m tests.lb.policy.ejection_course

Ten endpoints with twenty requests a second each, in turn; the first one fails its share, the others
none. Two ways to find out: five failures in a row, and rates every ten seconds.
"""

import random
from statistics import median

from lb.policy.outlier import OutlierEjection
from lb.policy.outlier_rates import OutlierRates
from resilience.policy.contract import Outcome

ENDPOINTS = tuple(f"e{n}" for n in range(10))
RATE_RPS, GIVE_UP_S, SEEDS = 200.0, 600.0, 9
SHARES = (1.0, 0.5, 0.25, 0.1, 0.02)


def seconds_to_eject(failing: float, seed: int, *, by_rates: bool) -> float:
    """Return when the first endpoint is out, inf when it isn't within ten minutes."""
    rng = random.Random(seed)
    one = OutlierEjection(rates=OutlierRates()) if by_rates else OutlierEjection()
    one.set_endpoints(ENDPOINTS)
    for number in range(int(GIVE_UP_S * RATE_RPS)):
        now_s = number / RATE_RPS
        name = ENDPOINTS[number % len(ENDPOINTS)]
        failed = name == ENDPOINTS[0] and rng.random() < failing
        one.on_result(name, Outcome.FAILED if failed else Outcome.OK, now_s)
        if one.is_ejected(ENDPOINTS[0], now_s):
            return now_s
    return float("inf")


def main() -> None:
    """Print the table of docs/policies/balancing.md."""
    print("| fails | five in a row | with rates |\n|---|---|---|")
    for failing in SHARES:
        cells = []
        for by_rates in (False, True):
            seen = [seconds_to_eject(failing, seed, by_rates=by_rates) for seed in range(SEEDS)]
            middle = median(seen)
            cells.append("never" if middle == float("inf") else f"{middle:.1f} s")
        print(f"| {failing:.0%} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()

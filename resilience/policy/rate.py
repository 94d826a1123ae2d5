"""Rate limits: what all of them say and grant alike.

Why here: a caller sees one kind of refusal (``rate``, RATE_EXCEEDED, 429) whichever algorithm
counts, and each promises that a request which comes back when told to, with nobody else in between,
passes; and that one who keeps exactly to the rate is never refused. Rounding would break both now
and then: ten times 0.1 s is not a second in binary. So whoever is early by less than ``SLACK_S``
is let in; what he takes is booked in full, so this shifts a limit once and never adds up.
Not handled: limits per tenant or per key (``keyed`` makes one policy for each).
"""

from math import inf

POLICY_NAME = "rate"  # resilience.refusal answers it with 429
RATE_EXCEEDED = "RATE_EXCEEDED"
SLACK_S = 1e-6  # a clock that has run for a year rounds to 4e-9 s; no sleep is as exact as this


def check_above_zero(**values: float) -> None:
    """Refuse to build a policy with figures that mean nothing.

    Raises:
        ValueError: When one is not a finite number above 0; it names which.
    """
    for name, value in values.items():
        if not 0.0 < value < inf:
            raise ValueError(f"{name}={value} must be a finite number above 0")

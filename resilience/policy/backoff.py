"""Back-off: how long to wait before a retry, and how much of that is chance.

Why chance: callers that failed together would come back together. Full jitter spreads them over the
whole step; the others trade spread for a shortest wait.

    step     Envoy        min(cap, base × (2^N - 1))              N = 1 before the first retry
             exponential  min(cap, base × multiplier^(N - 1))
    wait     none         step
             full         uniform [0, step)
             equal        step / 2 + uniform [0, step / 2)
             decorrelated min(cap, uniform [base, 3 × last wait)); has no step, last begins as base

Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (the four waits; its attempt 0 is
our retry 1); Envoy router_filter.rst (its step, full jitter); gRFC A6, "Exponential Backoff" (the
exponential step, full jitter).
Not handled: Fibonacci and linear steps, which lie between a constant one (multiplier 1) and these.
"""

import random
from enum import Enum

BACKOFF_BASE_S = 0.025  # Envoy: base interval 25 ms, so 0-24, 0-74, 0-174 ms
BACKOFF_CAP_S = 0.25  # Envoy: ten times the base
BACKOFF_MULTIPLIER = 2.0  # A6's example and the AWS article alike
DECORRELATED_GROWTH = 3.0  # AWS: random_between(base, sleep * 3)


class Growth(Enum):
    """How the step grows from retry to retry."""

    ENVOY = "envoy"
    EXPONENTIAL = "exponential"


class Jitter(Enum):
    """How much of the step is left to chance."""

    FULL = "full"
    EQUAL = "equal"
    DECORRELATED = "decorrelated"
    NONE = "none"


def envoy_step_s(retry: int, base_s: float, cap_s: float) -> float:
    """Return Envoy's step before that retry (1 is the first), seconds."""
    return min(cap_s, base_s * (_power(2.0, retry) - 1.0)) if base_s else 0.0


def exponential_step_s(
    retry: int, base_s: float, cap_s: float, multiplier: float = BACKOFF_MULTIPLIER
) -> float:
    """Return the exponential step before that retry (1 is the first), seconds.

    Args:
        retry: Which, >= 1.
        base_s: The first step.
        cap_s: The longest.
        multiplier: From step to step, >= 1; 1 keeps it constant.
    """
    return min(cap_s, base_s * _power(multiplier, retry - 1)) if base_s else 0.0


def full_jitter_s(step_s: float, rng: random.Random) -> float:
    """Draw from the whole step."""
    return rng.random() * step_s


def equal_jitter_s(step_s: float, rng: random.Random) -> float:
    """Keep half of the step and draw from the other half."""
    return step_s / 2 + rng.random() * step_s / 2


def decorrelated_s(last_s: float, base_s: float, cap_s: float, rng: random.Random) -> float:
    """Draw from the base to three times the last wait.

    Args:
        last_s: What was waited before; 0 before the first retry, then taken as ``base_s``.
        base_s: The shortest wait, unless the cap is shorter.
        cap_s: The longest.
        rng: Draws.
    """
    longest_s = max(last_s, base_s) * DECORRELATED_GROWTH
    return min(cap_s, base_s + rng.random() * (longest_s - base_s))


def _power(base: float, exponent: int) -> float:
    """Raise to a power; infinity where a float ends, which any cap cuts."""
    try:
        return float(base**exponent)
    except OverflowError:
        return float("inf")

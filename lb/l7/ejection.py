"""Which backends are left for how they answer: the rules of ``lb.policy.outlier``, from the file.

Why a section: how many requests make a rate, and how many backends a comparison, hangs on the
fleet. The defaults are Envoy's, whose rates need five backends and a hundred requests in 10 s; two
or three backends need numbers of their own, as the lab has them (``small_fleet``).
Source: Envoy, outlier_detection.proto; its names in plain words. Percentages are shares here.
Not handled: backends by priority; a successful check doesn't end an ejection.
"""

from collections.abc import Iterator

from kit.source import DataPath
from kit.source_types import Part
from lb.policy import outlier, outlier_rates
from lb.policy.outlier import OutlierEjection
from lb.policy.outlier_rates import OutlierRates


class SuccessRateOptions(Part, frozen=True):
    """Who succeeds less often than the others do.

    Args:
        enforce: Whether it is ejected, or only counted.
        stdev_factor: Standard deviations below the mean, > 0.
        min_backends: With fewer that had enough requests nobody is compared, >= 1.
        min_requests: In an interval, for a backend's rate to count, >= 1.
    """

    enforce: bool = outlier_rates.DEFAULT_ENFORCE_SUCCESS_RATE
    stdev_factor: float = outlier_rates.DEFAULT_STDEV_FACTOR
    min_backends: int = outlier_rates.DEFAULT_SUCCESS_MIN_ENDPOINTS
    min_requests: int = outlier_rates.DEFAULT_SUCCESS_MIN_REQUESTS


class FailureShareOptions(Part, frozen=True):
    """Who fails too often, whatever the others do.

    Args:
        enforce: Whether it is ejected, or only counted.
        threshold: Share of failed requests, above 0, at most 1.
        min_backends: With fewer that had enough requests nobody is judged, >= 1.
        min_requests: In an interval, for a backend's share to count, >= 1.
        failing_share: When more than this share of them fails too often, nobody is ejected for it;
            above 0, at most 1.
    """

    enforce: bool = outlier_rates.DEFAULT_ENFORCE_FAILURE_RATIO
    threshold: float = outlier_rates.DEFAULT_FAILURE_RATIO
    min_backends: int = outlier_rates.DEFAULT_FAILURE_MIN_ENDPOINTS
    min_requests: int = outlier_rates.DEFAULT_FAILURE_MIN_REQUESTS
    failing_share: float = outlier_rates.DEFAULT_FAILING_SHARE


class EjectionOptions(Part, frozen=True):
    """Section ``ejection``; the switch ``outlier`` stands above all of it.

    Args:
        consecutive: Failures in a row that eject, >= 1.
        interval_s: Between two looks at the rates, and without an ejection for the next one to be
            shorter again, > 0.
        base_s: Length of a first ejection, > 0; the second is twice as long, ...
        max_s: Longest ejection, >= ``base_s``.
        max_share: Share of the backends that may be out at once, 0..1; one always may.
        success_rate: Compared with the others.
        failure_share: By itself.
    """

    consecutive: int = outlier.DEFAULT_CONSECUTIVE_FAILURES
    interval_s: float = outlier.DEFAULT_INTERVAL_S
    base_s: float = outlier.DEFAULT_EJECTION_S
    max_s: float = outlier.DEFAULT_MAX_EJECTION_S
    max_share: float = outlier.DEFAULT_MAX_EJECTED_RATIO
    success_rate: SuccessRateOptions = SuccessRateOptions()
    failure_share: FailureShareOptions = FailureShareOptions()


def ejection_mistakes(options: EjectionOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range."""
    if options.consecutive < 1:
        yield (*at, "consecutive"), f"consecutive is {options.consecutive}; give 1 or more"
    for name in ("interval_s", "base_s"):
        value = getattr(options, name)
        if not value > 0:
            yield (*at, name), f"{name} is {value:g}; give more than 0"
    if options.max_s < options.base_s:
        yield (*at, "max_s"), f"max_s is {options.max_s:g}; give {options.base_s:g} or more"
    if not 0 <= options.max_share <= 1:
        yield (*at, "max_share"), f"max_share is {options.max_share:g}; give 0 to 1"
    rate, share = options.success_rate, options.failure_share
    if not rate.stdev_factor > 0:
        told = f"stdev_factor is {rate.stdev_factor:g}; give more than 0"
        yield (*at, "success_rate", "stdev_factor"), told
    for name in ("threshold", "failing_share"):
        value = getattr(share, name)
        if not 0 < value <= 1:
            told = f"{name} is {value:g}; give more than 0, at most 1"
            yield (*at, "failure_share", name), told
    for section in ("success_rate", "failure_share"):
        for name in ("min_backends", "min_requests"):
            value = getattr(getattr(options, section), name)
            if value < 1:
                yield (*at, section, name), f"{name} is {value}; give 1 or more"


def build_ejection(options: EjectionOptions) -> OutlierEjection:
    """Make what the section describes."""
    rate, share = options.success_rate, options.failure_share
    return OutlierEjection(
        consecutive_failures=options.consecutive,
        ejection_s=options.base_s,
        max_ejection_s=options.max_s,
        max_ejected_ratio=options.max_share,
        interval_s=options.interval_s,
        rates=OutlierRates(
            stdev_factor=rate.stdev_factor,
            success_min_endpoints=rate.min_backends,
            success_min_requests=rate.min_requests,
            failure_ratio=share.threshold,
            failure_min_endpoints=share.min_backends,
            failure_min_requests=share.min_requests,
            failing_share=share.failing_share,
            enforce_success_rate=rate.enforce,
            enforce_failure_ratio=share.enforce,
        ),
    )

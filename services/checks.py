"""Input checks that every service makes, with one wording each."""

from collections.abc import Sequence

from resilience.errors import Code, ServiceError

ID_INVALID = "ID_INVALID"
TOO_MANY_IDS = "TOO_MANY_IDS"
MAX_BATCH_IDS = 100  # as the contracts of account and counter say


def check_id(value: int, what: str) -> None:
    """Refuse a number that can't be an id.

    Raises:
        ServiceError: ``ID_INVALID`` when below 1.
    """
    if value < 1:
        raise ServiceError(
            Code.INVALID_ARGUMENT, ID_INVALID, f"{what} {value} isn't an id: ids begin at 1"
        )


def check_batch(ids: Sequence[int]) -> None:
    """Refuse a batch larger than the contract allows.

    Raises:
        ServiceError: ``TOO_MANY_IDS`` above 100.
    """
    if len(ids) > MAX_BATCH_IDS:
        raise ServiceError(
            Code.INVALID_ARGUMENT,
            TOO_MANY_IDS,
            f"{len(ids)} ids asked at once, {MAX_BATCH_IDS} are allowed: ask in several batches",
        )

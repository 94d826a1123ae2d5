"""From a finished request to the summary that the recorder keeps."""

from collections.abc import Callable

from kit.recorder import Recorder, RequestSummary
from resilience.summary import Finished


def keep_in(recorder: Recorder, instance: str) -> Callable[[Finished], None]:
    """Make the callback that keeps each finished request.

    Args:
        recorder: Where.
        instance: This hop, e.g. ``gateway.1``.
    """

    def keep(finished: Finished) -> None:
        recorder.add(
            RequestSummary(
                request_id=finished.context.request_id,
                trace_id=finished.context.trace_id,
                instance=instance,
                route=finished.route,
                started_unix_s=finished.started_unix_s,
                duration_ms=finished.duration_s * 1000,
                remaining_in_ms=_ms(finished.remaining_in_s),
                remaining_out_ms=_ms(finished.remaining_out_s),
                status=finished.status,
                code=finished.code,
                notes=finished.context.notes,
            )
        )

    return keep


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000

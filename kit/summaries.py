"""Turn what a resilience adapter reports of a request into what the recorder keeps."""

from kit.recorder import Recorder, RequestSummary
from resilience.summary import Finished, OnFinish


def record_to(recorder: Recorder, instance: str) -> OnFinish:
    """Return an ``on_finish`` for the adapters that records under this instance's name."""

    def on_finish(finished: Finished) -> None:
        context = finished.context
        recorder.add(
            RequestSummary(
                request_id=context.request_id,
                trace_id=context.trace_id,
                instance=instance,
                route=finished.route,
                started_unix_s=finished.started_unix_s,
                duration_ms=finished.duration_s * 1000.0,
                remaining_in_ms=_ms(finished.remaining_in_s),
                remaining_out_ms=_ms(finished.remaining_out_s),
                status=finished.status,
                code=finished.code,
                notes=context.notes,
            )
        )

    return on_finish


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000.0, 3)

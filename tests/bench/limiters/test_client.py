"""The client as a process: what it leaves behind when it ends well, and when it does not."""

import time
from pathlib import Path

import pytest

from bench.limiters import client
from bench.limiters.processes import finished, python, running, tell, wait_ready
from bench.limiters.records import BROKEN, load
from bench.limiters.trace import CVS, Trace
from bench.limiters.trace import load as load_trace
from kit.errors import LabEnvironmentError


async def test_a_client_nobody_answers_still_writes_a_record_of_each_request() -> None:
    """The whole of a trace that lies in the past: sent at once, all broken."""
    trace = load_trace(CVS[0])
    few = Trace(trace.cv, trace.arrivals[:20], trace.services_s)
    begin_s = time.monotonic() - few.arrivals[-1].at_s - 0.001

    records = await client.Client(few, 1).run(begin_s)  # nobody listens on port 1

    assert [one.at_s for one in records] == [one.at_s for one in few.arrivals]
    assert {one.status for one in records} == {BROKEN}


async def test_a_client_that_cannot_write_its_records_fails_and_says_why(tmp_path: Path) -> None:
    """Its folder is gone by the time the trace has been sent."""
    path = tmp_path / "gone" / "records.json"
    command = python("bench.limiters.client", "--port", "1", "--cv", "1", "--records", str(path))
    async with running(command) as child:
        await wait_ready(child, "client")
        await tell(child, "0.0")  # long past: everything leaves at once, and nobody waits
        with pytest.raises(LabEnvironmentError, match=r"client failed: .*No such file .*code 1"):
            await finished(child, "client", 30.0)
    with pytest.raises(LabEnvironmentError, match="cannot be read"):
        load(path)

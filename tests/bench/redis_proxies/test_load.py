"""The load's bytes, and what the samples come to."""

import pytest

from bench.redis_proxies.contenders import CONTENDERS
from bench.redis_proxies.load import Crowd, LoadError, batches, fill
from bench.redis_proxies.report import figures, rows, verdicts
from bench.redis_proxies.run import Measured, Spent
from shard.policy.frames import RequestCut
from shard.policy.topology import Address
from tests.shard.fake import until
from tests.valkey import start_valkey


def test_a_batch_has_as_many_commands_as_asked_for() -> None:
    """And a tenth of all are SETs, nearly."""
    words = []
    for batch in batches(16, 1):
        at = 0
        while at < len(batch.payload):
            cut = RequestCut()
            at = cut.go_on(batch.payload, at)
            words.append(cut.words[0])
    assert len(words) == 64 * 16
    assert 0.05 < words.count(b"SET") / len(words) < 0.15


async def test_answers_of_a_real_server_come_out_even() -> None:
    """Each batch's answers have as many bytes as were expected."""
    with start_valkey() as server:
        where = Address(server.host, server.port)
        await fill(where)
        crowd = Crowd(where, 16, connections=3)
        await crowd.begin()
        await until(lambda: crowd.done > 1000)
        crowd.end()


async def test_wrong_answers_are_told() -> None:
    """A server without the keys answers with other lengths: no figure comes of it."""
    with start_valkey() as server:
        server.cli("SET", "squall-bench:0", "x")
        crowd = Crowd(Address(server.host, server.port), 16, connections=1)
        await crowd.begin()
        await until(lambda: crowd.received > 0)
        with pytest.raises(LoadError):
            crowd.end()


def test_ratios_are_taken_round_by_round() -> None:
    """The median of the ratios, not the ratio of the medians; the aim is Envoy's."""
    samples = {
        (each.tier, each.name, pipeline): [Spent(10.0, 1.0)] * 3
        for each in CONTENDERS
        for pipeline in (1, 16)
    }
    samples["store", "ours", 1] = [Spent(10.0, 1.0), Spent(20.0, 1.0), Spent(30.0, 1.0)]
    samples["store", "envoy", 1] = [Spent(20.0, 1.0), Spent(10.0, 1.0), Spent(60.0, 1.0)]
    run = Measured(samples, {})
    found = figures(run)
    envoy = next(each for each in found if each.name == "envoy" and each.pipeline == 1)

    assert (envoy.ratio, envoy.verdict) == (0.5, "held")
    assert envoy._replace(ratio=1.01).verdict == "missed"
    assert verdicts(run, found) == {"", "held"}
    assert "unknown" in verdicts(Measured(samples, {"envoy": "away"}), found)
    assert len(rows(found, {"envoy": "away"})) == len(found) + 1

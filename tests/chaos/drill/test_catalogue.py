"""The shipped drills against the catalogue: load, faults, policies of both arms, bounds.

What a drill proves is in these figures; a bound that is moved to make a run pass shows here. Rows
one and two are in ``test_loading``.
"""

import pytest

from chaos.drill.catalogue import DRILLS, drill_files
from chaos.drill.loading import load_drill
from chaos.drill.schema import FAULT, RECOVER, Drill
from chaos.store.own import NODE_TIMEOUT_S
from hashing.bounded import BoundedRing
from resilience.policy.contract import Mode
from services.video.data import video_key

pytestmark = pytest.mark.unit

PLAIN = (8, 20.0)  # R2: "every other station 8 x 20 ms unless said"
ABOUT = {
    "stampede": {"cache", "single_flight"},
    "hot-key": {"cache", "cache_ejection", "single_flight"},
    "cache-node-loss": {"cache", "cache_ejection", "single_flight"},
    "gray-failure": {"checks", "outlier"},
    "mass-ejection": {"checks", "panic"},
    "slow-clients": {"slow_clients"},
    "bad-canary": {"checks", "outlier", "panic"},
}
ALL_DRILLS = [load_drill(path) for path in drill_files()]


def named(name: str) -> Drill:
    """Load a shipped drill."""
    return load_drill(DRILLS / f"{name}.yaml")


def claims(drill: Drill) -> dict[str, tuple[str, str]]:
    """Return each hypothesis' metric and bound by its name."""
    return {h.name: (h.metric, h.bound) for h in drill.hypotheses}


def must_show(drill: Drill) -> dict[str, str]:
    """Return what the control arm must show, by hypothesis."""
    return {r.name: r.bound for r in drill.control.refutations()}


def stations(drill: Drill) -> dict[str, tuple[int, float]]:
    """Return workers and mean by service."""
    return {name: (s.workers, s.mean_ms) for name, s in drill.setup.stations.items()}


@pytest.mark.parametrize("drill", ALL_DRILLS, ids=lambda one: one.drill)
def test_every_drill_keeps_the_rules(drill: Drill) -> None:
    """R1 the phases, R2 declared capacity, R4 a bound per refutation, R5 nothing undeclared."""
    seconds = {phase.name: phase.seconds for phase in drill.load.phases}
    assert (seconds["warm"], seconds["steady"]) == (3, 5)
    assert stations(drill).keys() == {"account", "comment", "counter", "video"}
    assert all(must_show(drill).values())
    # Both would find out about a broken replica by themselves; where one is on, the row says so.
    elsewhere = {"checks", "outlier", "panic", "cache", "cache_ejection", "single_flight"}
    assert not (elsewhere & drill.policies.keys()) - ABOUT.get(drill.drill, set())
    assert len(drill.control.off) == 1 or drill.control.ablation is not None


def test_smoke_set_is_the_three_that_earn_their_seconds() -> None:
    """In under five minutes together, by what they declare."""
    smoke = [drill for drill in ALL_DRILLS if "smoke" in drill.tags]

    assert {drill.drill for drill in smoke} == {"overload", "rolling-restart", "slow-dependency"}
    assert sum(drill.needs.seconds for drill in smoke) < 300


def test_metastable_is_row_four() -> None:
    """32 of 40 a second, 4 attempts of 0.5 s, 20x slow for 5 s, then nothing wrong for 30 s."""
    drill = named("metastable")

    assert stations(drill)["video"] == (4, 100)
    assert drill.setup.drains == ("video.2", "video.3")
    assert {tuple(phase.rates.items()) for phase in drill.load.phases} == {(("list", 32),)}
    gateway = drill.setup.settings["gateway"]
    assert gateway == {"attempts": 4, "per_try_ms": 500, "budget_ms.videos": 2500}
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.factor, fault.seconds) == ("slow", "video.1", 20, 5)
    assert (drill.phase(FAULT).seconds, drill.phase(RECOVER).seconds) == (5, 30)
    assert claims(drill) == {
        "goodput long after": ("goodput_of_offered", ">= 0.80"),
        "back to normal": ("seconds_to_recover", "<= 5"),
    }
    assert (drill.hypotheses[0].phase, drill.hypotheses[0].last_s) == (RECOVER, 15)
    assert drill.policies["retry"] == {"gateway": Mode.ON}
    assert drill.control.off == ("retry_budget",)
    assert must_show(drill) == {"goodput long after": "<= 0.30"}


def test_retry_storm_is_row_three() -> None:
    """Two tiers of three tries, answers of the lower one tried again in both arms, no breaker."""
    drill = named("retry-storm")

    assert {fault.kind: fault.seconds for fault in drill.faults} == {"latency": 20, "error": 20}
    assert all(fault.on == "video" for fault in drill.faults)
    settings = drill.setup.settings
    assert (settings["gateway"]["attempts"], settings["l7"]["attempts"]) == (3, 3)
    assert settings["l7"]["retry_answers"] == 1
    assert "breaker" not in drill.policies
    assert drill.policies["retry"] == {"gateway": Mode.ON, "l7": Mode.ON}
    assert claims(drill)["calls at video"] == ("calls_per_request", "<= 2.0")
    assert drill.hypotheses[0].at == "video"
    assert drill.control.off == ("retry_budget",)
    assert must_show(drill) == {"calls at video": ">= 6"}


def test_abandoned_work_is_row_five() -> None:
    """Page 20, comment 2 s for 20 s, clients leave at 0.5 s; both protections off in control."""
    drill = named("abandoned-work")

    assert drill.phase(FAULT).rates == {"page": 20}
    assert drill.load.give_up_s == 0.5
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.seconds) == ("slow", "comment", 20)
    assert fault.factor is not None
    assert stations(drill)["comment"][1] * fault.factor == 2000
    assert claims(drill)["wasted"] == ("wasted_share", "<= 0.10")
    assert drill.control.off == ("deadline", "cancellation")
    assert must_show(drill) == {"wasted": ">= 0.50"}


def test_brownout_is_row_six() -> None:
    """Critical 8 and sheddable 52 at a capacity of 20; only importance differs."""
    drill = named("brownout")

    assert drill.phase(FAULT).rates == {"critical": 8, "sheddable": 52}
    levels = {name: each.criticality for name, each in drill.load.classes.items()}
    assert levels == {"critical": "critical", "sheddable": "sheddable"}
    assert (stations(drill)["video"], drill.setup.drains) == ((2, 100), ("video.2", "video.3"))
    assert drill.capacity is not None
    assert drill.capacity.rps == 20
    assert claims(drill)["critical in time"] == ("in_time_share", ">= 0.95")
    assert drill.load.gaps == "constant"  # decision 10
    assert drill.hypotheses[0].route == "critical"
    assert claims(drill)["sheddable served"] == ("goodput_rps", ">= 3")
    assert drill.policies["limiter"] == drill.policies["criticality"] == {"video": Mode.ON}
    assert drill.control.off == ("criticality",)
    assert must_show(drill) == {"critical in time": "<= 0.60"}


def test_noisy_tenant_is_row_seven() -> None:
    """A 8 beside B 100 at a capacity of 20; only the tenants' shares differ."""
    drill = named("noisy-tenant")

    assert drill.phase(FAULT).rates == {"small": 8, "noisy": 100}
    tenants = {name: each.tenant for name, each in drill.load.classes.items()}
    assert tenants == {"small": "A", "noisy": "B"}
    assert (stations(drill)["video"], drill.setup.drains) == ((2, 100), ("video.2", "video.3"))
    assert drill.load.gaps == "constant"  # decision 10
    assert claims(drill)["A in time"] == ("in_time_share", ">= 0.95")
    assert claims(drill)["fairness"] == ("jain_index", ">= 0.9")
    assert drill.policies["limiter"] == drill.policies["partitions"] == {"video": Mode.ON}
    assert drill.control.off == ("partitions",)
    assert must_show(drill) == {"A in time": "<= 0.40"}


def test_frozen_replica_is_row_ten() -> None:
    """SIGSTOP for 20 s, turns taken, tries timed in both arms; only the second try differs."""
    drill = named("frozen-replica")

    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.seconds) == ("pause", "video.1", 20)
    assert stations(drill)["video"] == PLAIN
    assert drill.load.gaps == "constant"
    assert "p2c" not in drill.policies
    assert drill.setup.settings["gateway"]["per_try_ms"] == 300
    assert claims(drill)["failed"] == ("failed_count", "<= 5")
    assert drill.control.off == ("retry",)
    assert must_show(drill) == {"failed": ">= 15"}


def test_rolling_restart_is_row_thirteen() -> None:
    """Each of 2 gateways and 3 videos once, no retries, none lost of 1,600 in the whole arm."""
    drill = named("rolling-restart")

    assert stations(drill)["video"] == (8, 300)
    assert sum(sum(p.rates.values()) * p.seconds for p in drill.load.phases) == 1600
    assert {fault.kind for fault in drill.faults} == {"restart"}
    assert sorted(fault.on for fault in drill.faults) == [
        "gateway.1", "gateway.2", "video.1", "video.2", "video.3",
    ]  # fmt: skip
    assert len({fault.at for fault in drill.faults}) == len(drill.faults)
    assert "retry" not in drill.policies
    assert claims(drill) == {"failed": ("failed_count", "<= 0")}
    assert drill.hypotheses[0].phase == "all"
    assert drill.control.off == ("drain",)
    assert must_show(drill) == {"failed": ">= 5"}


def test_blocked_loop_is_row_fourteen() -> None:
    """gateway.1 blocked 2 s of every 3; P2C against turns, and the watchdog's word."""
    drill = named("blocked-loop")

    assert drill.phase(FAULT).rates == {"list": 30}
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.ms, fault.every_ms) == ("block", "gateway.1", 2000, 3000)
    assert claims(drill)["within 500 ms"] == ("share_within", ">= 0.88")
    assert drill.hypotheses[0].within_ms == 500
    assert claims(drill)["function named"] == ("watchdog_named", ">= 1")
    assert drill.control.off == ("p2c",)
    assert must_show(drill) == {"within 500 ms": "<= 0.80"}


def test_control_plane_loss_is_row_fifteen() -> None:
    """Control killed for 20 s; 0.98 of all that is offered is at least 0.98 of steady's."""
    drill = named("control-plane-loss")

    assert {tuple(phase.rates.items()) for phase in drill.load.phases} == {(("page", 20),)}
    assert drill.load.gaps == "constant"
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.seconds) == ("kill", "control", 20)
    assert claims(drill)["goodput"] == ("goodput_of_offered", ">= 0.98")
    command = drill.hypotheses[-1]
    assert (command.metric, command.bound, command.exits) == ("command_seconds", "<= 2", 3)
    assert command.command.startswith("policy set ")
    assert drill.control.off == ("static",)
    assert must_show(drill) == {"goodput after the leases": "<= 0.30"}


def test_stampede_is_row_sixteen() -> None:
    """60 a second on one video, an origin of 400 ms (decision 10), five expiries in 20 s."""
    drill = named("stampede")

    assert {tuple(phase.rates.items()) for phase in drill.load.phases} == {(("hot", 60),)}
    hot = drill.load.classes["hot"]
    assert (hot.route, hot.video) == ("page", 1)
    assert drill.setup.settings["video"] == {"cache_ttl_ms": 3600, "origin_ms": 400}
    cycle_ms = sum(drill.setup.settings["video"].values())
    assert drill.phase(FAULT).seconds * 1000 / cycle_ms == 5
    assert not drill.faults  # the readers are the fault
    assert claims(drill)["origin calls"] == ("origin_calls", "<= 36")
    assert drill.hypotheses[0].at == "video"
    assert claims(drill)["page in time"] == ("in_time_share", ">= 0.97")
    assert drill.policies["cache"] == drill.policies["single_flight"] == Mode.ON
    assert drill.control.off == ("single_flight",)
    assert must_show(drill) == {"origin calls": ">= 60"}


def test_hot_key_is_row_seventeen() -> None:
    """Zipf 1.1, then 80 % on one video; no cap of a link (decision 10)."""
    drill = named("hot-key")

    assert drill.load.zipf == 1.1
    assert drill.phase(FAULT).rates == {"page": 12, "hot": 48}
    hot = drill.load.classes["hot"]
    ring = BoundedRing(["cache-1", "cache-2", "cache-3"])
    assert drill.hypotheses[0].at == ring.lookup(video_key(hot.video or 0).encode())
    assert not drill.faults  # the readers are the fault
    assert claims(drill)["of its node"] == ("node_share", "<= 0.35")
    assert claims(drill)["page in time"] == ("in_time_share", ">= 0.95")
    assert drill.control.off == ("local_cache",)
    assert must_show(drill) == {"of its node": ">= 0.60"}


def test_cache_node_loss_is_row_twenty_two() -> None:
    """Page 60 over 100 videos that live 15 s; the node of 39 is killed as long (decision 10)."""
    drill = named("cache-node-loss")

    assert {tuple(phase.rates.items()) for phase in drill.load.phases} == {(("page", 60),)}
    assert (drill.load.videos, drill.load.zipf) == (100, 0)
    ring = BoundedRing(["cache-1", "cache-2", "cache-3"])
    owners = [ring.lookup(video_key(number).encode()) for number in range(1, 101)]
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.seconds) == ("kill", "cache-2", 15)
    assert owners.count(fault.on) == 39
    lived_s = drill.setup.settings["video"]["cache_ttl_ms"] / 1000
    assert drill.phase(FAULT).seconds == lived_s == 15
    assert claims(drill)["origin calls"] == ("origin_calls", "<= 160")  # 1.6 times a hundred
    assert claims(drill)["page in time"] == ("in_time_share", ">= 0.97")
    assert drill.control.off == ("cache_ejection", "single_flight")
    assert must_show(drill) == {"origin calls": ">= 300"}


def test_slow_clients_is_row_twelve() -> None:
    """List 20 from newcomers; 1,200 connections, a byte a second, room for 1,024."""
    drill = named("slow-clients")

    assert drill.phase(FAULT).rates == {"list": 20}
    assert not drill.load.keep_alive
    (fault,) = drill.faults
    assert (fault.kind, fault.connections, fault.ms) == ("slowloris", 1200, 1000)
    assert drill.setup.settings["l7"]["max_connections"] == 1024
    assert claims(drill)["in time"] == ("in_time_share", ">= 0.97")
    assert drill.control.off == ("slow_clients",)
    assert must_show(drill) == {"in time": "<= 0.50"}


def test_bad_canary_is_row_eighteen() -> None:
    """List 60, stations as in gray-failure; half of one replica's answers are errors."""
    drill = named("bad-canary")

    assert drill.phase(FAULT).rates == {"list": 60}
    assert stations(drill) == stations(named("gray-failure"))
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.share) == ("error", "video.3", 0.5)
    assert claims(drill)["failed"] == ("failed_share", "<= 0.05")
    assert claims(drill)["after 5 s"] == ("goodput_of_offered", ">= 0.98")
    assert drill.control.off == ("outlier",)
    assert must_show(drill) == {"failed": ">= 0.12"}


def test_primary_kill_is_row_nineteen() -> None:
    """100 writes a second; the replica stands still and is dropped before its primary dies."""
    drill = named("primary-kill")

    assert drill.writes is not None
    assert (drill.writes.rate, drill.writes.shard) == (100, 1)
    pause, detach, kill = drill.faults
    assert [(each.kind, each.on) for each in drill.faults] == [
        ("pause", "shard.1.replica"), ("detach", "shard.1.primary"), ("kill", "shard.1.primary"),
    ]  # fmt: skip
    assert pause.at < detach.at < kill.at < pause.ends_at_s(15) < kill.ends_at_s(15)
    assert claims(drill)["lost"] == ("acknowledged_lost", "<= 0")
    assert claims(drill)["writes again"] == ("first_local_write_s", "<= 5")
    assert drill.policies["replicated"] is Mode.ON
    assert drill.control.off == ("replicated",)
    assert must_show(drill) == {"lost": ">= 5"}


def test_split_brain_is_row_twenty() -> None:
    """A primary cut off for 15 s together with who writes 100 times a second to its shard."""
    drill = named("split-brain")

    assert drill.writes is not None
    assert (drill.writes.rate, drill.writes.shard) == (100, 1)
    (fault,) = drill.faults
    assert (fault.kind, fault.on, fault.seconds) == ("isolate", "shard.1.primary", 15)
    assert claims(drill)["lost"] == ("acknowledged_lost", "<= 0")
    assert claims(drill)["fenced"] == ("last_cut_off_write_s", "<= 2")
    assert NODE_TIMEOUT_S == 1.0  # the bound is twice this
    assert drill.capabilities == ["isolate"]
    assert drill.policies["replicated"] is Mode.ON
    assert drill.control.off == ("replicated",)
    assert must_show(drill) == {"lost": ">= 20"}


def test_reshard_live_is_row_twenty_one() -> None:
    """A shard is added under 100 writes a second and reads, its mover killed twice."""
    drill = named("reshard-live")

    assert drill.writes is not None
    assert drill.growth is not None
    assert drill.writes.rate == 100
    assert len(drill.growth.kills_after_s) == 2
    assert claims(drill)["lost"] == ("acknowledged_lost", "<= 0")
    assert claims(drill)["moved"] == ("moved_of_gained", "<= 1.2")
    assert claims(drill)["writes"] == ("writes_of_steady", ">= 0.8")
    assert claims(drill)["pages"] == ("goodput_of_offered", ">= 0.8")
    assert drill.policies["slot_map"] is Mode.ON
    assert drill.control.off == ("slot_map",)
    assert must_show(drill) == {"moved": ">= 2"}

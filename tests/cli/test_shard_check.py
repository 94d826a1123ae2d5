"""``squall shard check``: exit codes, a history judged again, and a control that must lose."""

from pathlib import Path

import pytest

from chaos.store import check
from chaos.store.own import start_store
from chaos.store.running import check_running
from shard.check.ending import ask
from shard.check.history import parse_history
from tests.cli.conftest import Squall
from tests.ports import free_port
from tests.shard.check.histories import Model

STEPS = 400


def history_in(folder: Path, model: Model, **header: object) -> str:
    """Write a history's file; return its path."""
    path = folder / "history.jsonl"
    path.write_text(model.text(**header))
    return str(path)


@pytest.mark.unit
def test_a_good_history_is_judged_again(squall: Squall, tmp_path: Path) -> None:
    """Exit 0, and the words of the verdict."""
    model = Model(3).run(STEPS)

    done = squall("shard", "check", "--history", history_in(tmp_path, model))

    assert done.code == 0
    assert done.out.startswith("No violation in 400 operations and ")


@pytest.mark.unit
def test_a_broken_promise_exits_1_and_is_shown(squall: Squall, tmp_path: Path) -> None:
    """With key, told, found and lines, as text and as JSON."""
    model = Model(3).run(STEPS)
    model.events[model.find("final", key="counter:1")]["value"] = 0
    path = history_in(tmp_path, model)

    done = squall("shard", "check", "--history", path)
    as_json = squall("shard", "check", "--history", path, "--json")

    assert (done.code, as_json.code) == (1, 1)
    assert "counter:1: the counter lost acknowledged counts: " in done.out
    assert as_json.json["schema"] == "squall.shard-check/1"
    assert as_json.json["exit_code"] == 1
    assert as_json.json["violations"][0]["key"] == "counter:1"
    assert as_json.json["lost"] == as_json.json["violations"][0]["lost"] > 0


@pytest.mark.unit
def test_a_torn_history_is_judged_as_far_as_it_goes(squall: Squall, tmp_path: Path) -> None:
    """Inconclusive, and the line is said."""
    path = tmp_path / "torn.jsonl"
    path.write_text(Model(3).run(STEPS).text()[:-9])

    done = squall("shard", "check", "--history", str(path))

    assert done.code == 4
    assert "the last, is torn and left out" in done.out


@pytest.mark.unit
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--history", "no such file"), "No such file or directory"),
        (("--faults", "kil"), "--faults 'kil': did you mean kill"),
        (("--faults", ""), "--faults ''"),
        (("--durability", "replicate"), "did you mean replicated"),
        (("--role", "prim"), "did you mean primary"),
        (("--seeds", "store-1"), "--seeds: 'store-1' is not host:port"),
        (("--out", "/proc/no/history"), "can't be written"),
        (("--seconds", "0"), "--seconds"),
    ],
)
def test_wrong_words_exit_2(squall: Squall, argv: tuple[str, ...], said: str) -> None:
    """Before anything is started."""
    done = squall("shard", "check", *argv)

    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.unit
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: an empty file is no history"),
        (b"\xff\xfe", "can't decode"),
        (b'{"history":"squall.store-history/1"}\n{"t":0,"do":"x"}\n', "line 2: do is 'x'"),
    ],
)
def test_a_broken_history_exits_2_with_its_line(
    squall: Squall, tmp_path: Path, content: bytes, said: str
) -> None:
    """No traceback, and no verdict."""
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)

    done = squall("shard", "check", "--history", str(path))

    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_a_run_writes_a_history_that_is_judged_alike_again(squall: Squall, tmp_path: Path) -> None:
    """One killed replica; the file tells the same as the run."""
    path = str(tmp_path / "run.jsonl")

    run = squall("shard", "check", "--faults", "kill", "--role", "replica", "--times", "1",
                 "--out", path, "--json")  # fmt: skip
    again = squall("shard", "check", "--history", path, "--json")

    assert (run.code, again.code) == (0, 0), run.out
    assert run.json == again.json
    (fault,) = run.json["faults"]
    assert (fault["kind"], fault["role"], fault["has_bit"]) == ("kill", "replica", True)


@pytest.mark.integration
@pytest.mark.timeout(180)
async def test_a_running_store_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    """Nothing is broken, and no key stays."""
    options = check.Options((), seconds=2.0)
    async with start_store() as own:
        checked = await check_running(own.addresses, options, tmp_path / "h.jsonl", print)
        left = [await ask(address, ("DBSIZE",)) for address in own.addresses[:3]]

    assert (checked.verdict.exit_code, list(checked.verdict.doubts)) == (0, [])
    assert left == [[0], [0], [0]]


@pytest.mark.unit
def test_a_store_that_is_not_there_exits_3(
    squall: Squall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence."""
    monkeypatch.setattr("chaos.store.running.CONNECT_LIMIT_S", 0.2)
    where = f"127.0.0.1:{free_port()}"

    done = squall("shard", "check", "--seeds", where, "--out", str(tmp_path / "h.jsonl"))

    assert (done.code, done.out) == (3, "")
    assert "the store can't be checked: no node answers" in done.err


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_the_control_loses_local_writes_and_no_replicated_ones(
    squall: Squall, tmp_path: Path
) -> None:
    """A judge that finds nothing here is blind."""
    path = tmp_path / "control.jsonl"

    done = squall("shard", "check", "--control", "--out", str(path), "--json")

    assert done.code == 0, done.out
    assert done.json["local"]["lost"] >= 1
    assert done.json["replicated"]["violations"] == []
    assert parse_history((tmp_path / "control.local.jsonl").read_text()).has_ended


@pytest.mark.unit
def test_a_control_that_finds_nothing_is_inconclusive(
    squall: Squall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 4: what finds nothing here finds nothing anywhere."""
    good = tmp_path / "good.jsonl"
    good.write_text(Model(3).run(STEPS).text())

    async def nothing_lost(*_: object) -> check.Checked:
        return check.judge_file(good)

    monkeypatch.setattr("chaos.store.control.lose_by_force", nothing_lost)
    done = squall("shard", "check", "--control", "--out", str(tmp_path / "out.jsonl"))

    assert done.code == 4
    assert "the control is blind" in done.out

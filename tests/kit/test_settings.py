"""Settings from an environment, and what a wrong one says."""

from pathlib import Path

import pytest

from kit import settings
from kit.errors import ConfigError, LabEnvironmentError
from kit.settings import Settings, load_settings

GOOD = {
    "SQUALL_CONTROL": "control:6379",
    "SQUALL_STORE": "store-1:6379,store-2:6380",
    "SQUALL_CACHE": "cache-1:6379,cache-2:6379",
    "SQUALL_HOST": "127.77.0.9",
    "SQUALL_REPLICA": "2",
    "SQUALL_LOG_LEVEL": "INFO",
}


def test_every_variable_reaches_its_field() -> None:
    """A whole environment gives a whole Settings."""
    assert load_settings("video", GOOD) == Settings(
        service="video",
        replica=2,
        control=("control", 6379),
        store=(("store-1", 6379), ("store-2", 6380)),
        cache=(("cache-1", 6379), ("cache-2", 6379)),
        host="127.77.0.9",
        log_level="info",
    )


def test_only_control_is_required() -> None:
    """Without the others: replica 1, no store, no cache, every address, warnings."""
    found = load_settings("l7", {"SQUALL_CONTROL": "c:1"}, lambda: None)
    assert (found.replica, found.store, found.cache) == (1, (), ())
    assert (found.host, found.log_level) == ("", "warning")
    assert found.bind_host == "0.0.0.0"


def test_instance_is_service_and_replica() -> None:
    """The instance's name is what the lab calls the process."""
    assert load_settings("video", GOOD).instance == "video.2"


@pytest.mark.parametrize(
    ("name", "replica"),
    [
        ("squall-video-2.squall_default", 2),
        ("squall-video-13.squall_default", 13),
        ("squall-video-2", 2),
        ("6f1c2d", 1),
        (None, 1),
        ("", 1),
        ("squall-video-0.squall_default", 1),
    ],
)
def test_a_container_takes_its_replica_from_its_name(name: str | None, replica: int) -> None:
    """Compose numbers the replicas in their names and in nothing else."""
    environ = {**GOOD, "SQUALL_REPLICA": ""}
    assert load_settings("video", environ, lambda: name).replica == replica


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SQUALL_CONTROL", "", "SQUALL_CONTROL is not set"),
        ("SQUALL_CONTROL", "control", "host:port"),
        ("SQUALL_CONTROL", "control:70000", "65535"),
        ("SQUALL_CONTROL", ":6379", "host:port"),
        ("SQUALL_CONTROL", "control:²", "host:port"),
        ("SQUALL_STORE", "a:1,b", "SQUALL_STORE is 'b'"),
        ("SQUALL_REPLICA", "two", "whole number"),
        ("SQUALL_REPLICA", "0", "from 1"),
        ("SQUALL_REPLICA", "²", "whole number"),
        ("SQUALL_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("SQUALL_HOST", "10.0.0.1:80", "without a port"),
    ],
)
def test_a_wrong_value_names_variable_and_advice(variable: str, value: str, says: str) -> None:
    """The message has the variable, the value and what to do, and leads to exit code 2."""
    with pytest.raises(ConfigError) as caught:
        load_settings("video", {**GOOD, variable: value})
    assert variable in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_store_is_named_only_where_it_is_needed() -> None:
    """Balancers have no use for the store; a service that asks for it is told."""
    found = load_settings("account", {"SQUALL_CONTROL": "c:1", "SQUALL_REPLICA": "1"})
    with pytest.raises(ConfigError, match="SQUALL_STORE is not set"):
        found.require_store()
    assert load_settings("account", GOOD).require_store() == (("store-1", 6379), ("store-2", 6380))


def test_outside_a_container_no_name_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reverse DNS is left alone where there is no container's mark."""
    monkeypatch.setattr(settings, "CONTAINER_MARK", tmp_path / "absent")
    assert settings.container_name() is None


def test_exit_codes_are_the_contracts() -> None:
    """Usage is 2, environment is 3."""
    assert (ConfigError.exit_code, LabEnvironmentError.exit_code) == (2, 3)
    assert settings.ADMIN_PORT == 9100

"""L4's file: its defaults, each mistake with its place, and what the kernel mode makes of it."""

import pytest

from kit.source import SourceError
from lb.l4 import settings
from lb.l4.config import (
    CheckOptions,
    KernelOptions,
    L4Config,
    LimitOptions,
    MaglevOptions,
    TimeoutOptions,
    parse_config,
)
from lb.l4.settings import L4Settings

pytestmark = pytest.mark.unit
ONE = "backends: [{address: '127.0.0.1:1', name: one}]\n"


def test_defaults_are_documented() -> None:
    """The lab's, and keepalived's for checks."""
    config = parse_config(ONE)
    assert (config.listen, config.mode, config.balance) == (
        "0.0.0.0:8080",
        "proxy",
        "least_connections",
    )
    assert config.maglev == MaglevOptions(size=65_537, key="source_ip")
    assert config.timeouts == TimeoutOptions(connect_s=1.0, idle_s=600.0, half_close_s=600.0)
    assert config.limits == LimitOptions(
        connections=10_000, connections_per_client=0, backend_connections=0
    )
    assert config.checks == CheckOptions(
        enabled=True, interval_s=1.0, timeout_s=0.5, unhealthy_after=3, healthy_after=2
    )
    assert config.kernel == KernelOptions(places=4093, masquerade=True)
    assert L4Settings() == L4Settings(1.0, 600.0, 600.0, 10_000, 0, 0, "off", "")
    assert (settings.CHECK_INTERVAL_S, settings.CHECK_TIMEOUT_S) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("backends: []", "no backend; write backends: [{address: 'host:port'}]"),
        ("backends: [{address: here}]", "address is 'here'; give host:port"),
        ("backends: [{address: 'a:1'}, {address: 'a:1'}]", "a:1 stands here twice"),
        ("backends: [{address: 'a:1', weight: 0}]", "weight is 0; give more than 0, at most 1000"),
        (ONE + "listen: here", "listen is 'here'; give host:port"),
        (ONE + "balance: maglv", "there is no maglv; did you mean maglev"),
        (ONE + "mode: kernle", "there is no kernle; did you mean kernel"),
        (ONE + "maglev: {key: source_ip_port}", "maglev is for balance: maglev; take it out"),
        (ONE + "balance: maglev\nmaglev: {size: 65536}", "size is 65536; give a prime from 2"),
        (ONE + "timeouts: {idle_s: 0}", "idle_s is 0; give more than 0"),
        (ONE + "limits: {connections: 0}", "connections is 0; give 1 at least"),
        (ONE + "limits: {backend_connections: -1}", "backend_connections is -1; give 0 for none"),
        (ONE + "checks: {interval_s: 0}", "interval_s is 0; give more than 0"),
        (ONE + "checks: {healthy_after: 0}", "healthy_after is 0; give 1 or more"),
        (ONE + "proxy_protocol: {mode: accept}", "trusted is empty; name who may send it"),
        (ONE + "proxy_protocol: {send: v3}", "there is no v3; did you mean v"),
        (ONE + "kernel: {places: 251}", "kernel is for mode: kernel; take it out"),
        (ONE + "mode: kernel\nlimits: {connections: 5}", "the kernel mode has no limits; take it"),
        (ONE + "mode: kernel\nbalance: round_robin", "the kernel mode places by Maglev"),
        (ONE + "mode: kernel\nchecks: {enabled: false}", "the kernel mode always checks"),
        (ONE + "mode: kernel\nlisten: host:1", "give an IPv4 address and port"),
        (
            ONE + "mode: kernel\nlisten: 127.0.0.1:9\nkernel: {places: 7}",
            "places is 7; give one of",
        ),
        (ONE + "bckends: []", "unknown key bckends; did you mean backends"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError, match=r"^l4\.yaml:\d+:\d+: ") as caught:
        parse_config(text)
    assert told in str(caught.value)


def test_the_kernel_mode_takes_what_it_has_in_common() -> None:
    """Backends with weights and drains, checks, and its own section."""
    config = parse_config(
        "mode: kernel\nlisten: 127.0.0.1:9\nbalance: maglev\n"
        "backends: [{address: '127.0.0.1:1', weight: 2}, {address: '127.0.0.1:2', drain: true}]\n"
        "checks: {interval_s: 2}\nkernel: {places: 251, masquerade: false}"
    )
    kernel = config.as_kernel
    assert [(one.address, one.weight, one.drain) for one in kernel.backends] == [
        ("127.0.0.1:1", 2.0, False),
        ("127.0.0.1:2", 1.0, True),
    ]
    assert (kernel.listen, kernel.places, kernel.masquerade) == ("127.0.0.1:9", 251, False)
    assert (kernel.check_interval_s, kernel.check_timeout_s) == (2.0, 0.5)


def test_what_a_proxy_alone_has_has_a_default_of_its_own() -> None:
    """So that a file of the kernel mode may leave it out, and only that."""
    config = parse_config(ONE + "mode: kernel\nlisten: 127.0.0.1:9")
    assert isinstance(config, L4Config)
    assert config.limits == LimitOptions()

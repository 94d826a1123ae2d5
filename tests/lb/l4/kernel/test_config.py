"""The file of kernel mode, and what it says of a machine that lacks something."""

from pathlib import Path

import pytest

from kit.source import SourceError
from lb.l4.kernel import config as module
from lb.l4.kernel.__main__ import main
from lb.l4.kernel.capabilities import has_net_admin, lacking
from lb.l4.kernel.config import parse_kernel_config

GOOD = "listen: 10.91.0.1:80\nbackends:\n  - address: 10.92.0.11:8000\n"


def test_defaults_are_the_documented_ones() -> None:
    """docs/lb/kernel.md names these."""
    config = parse_kernel_config(GOOD)
    assert (config.places, config.masquerade, config.table) == (4093, True, "squall_l4")
    assert (config.check_interval_s, config.check_timeout_s, config.rebuilds_per_s) == (1, 0.5, 2)
    assert (config.backends[0].weight, config.backends[0].drain) == (1, False)
    assert (module.MAX_BACKENDS, module.MAX_WEIGHT) == (256, 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("10.91.0.1:80", "lb:80"), r"k:1:1: listen is 'lb:80'; give an IPv4"),
        (GOOD.replace(":8000", ":08000"), r"k:3:5: address is"),
        (GOOD.replace(":8000", ":65536"), r"k:3:5: address is"),
        (GOOD + "    weight: 0\n", r"k:4:5: weight is 0; give more than 0"),
        (GOOD + "    weights: 2\n", r"k:4:5: unknown key weights; .*weight"),
        (GOOD + "  - address: 10.92.0.11:8000\n", r"k:4:5: .* stands here twice"),
        (GOOD + "places: 4096\n", r"k:4:1: places is 4096; give one of 251"),
        (GOOD + "rebuilds_per_s: 0\n", r"k:4:1: rebuilds_per_s is 0; give 0.01"),
        (GOOD + "table: 'a; flush ruleset'\n", r"k:4:1: table is 'a; flush ruleset'"),
        ("listen: 10.91.0.1:80\nbackends: []\n", r"k:2:1: 0 backends; give 1 to 256"),
    ],
)
def test_mistake_is_told_with_its_place(text: str, message: str) -> None:
    """Each mistake stops the file at its line and column."""
    with pytest.raises(SourceError, match=message):
        parse_kernel_config(text, "k")


def test_wrong_file_and_wrong_usage_end_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, no traceback."""
    assert main([]) == 2
    assert main([str(tmp_path / "absent.yaml")]) == 2
    assert "usage:" in (said := capsys.readouterr().err)
    assert "absent.yaml: No such file" in said


def test_capability_is_read_from_the_effective_set() -> None:
    """Bit 12 of CapEff; other sets don't count."""
    assert has_net_admin("Name:\tx\nCapEff:\t0000000000001000\n")
    assert not has_net_admin("CapPrm:\t0000000000001000\nCapEff:\t0000000000000fff\n")


def test_everything_missing_is_named_with_its_remedy(tmp_path: Path) -> None:
    """Programs, capability and forwarding: four lines, and the kernel is not asked."""
    status, forward = tmp_path / "status", tmp_path / "forward"
    status.write_text("CapEff:\t0000000000000000\n")
    forward.write_text("0\n")
    found = lacking(
        parse_kernel_config(GOOD),
        platform="linux",
        status=status,
        forward=forward,
        find=lambda _: None,
    )
    assert [line.split(":")[0] for line in found] == [
        "no nft",
        "no conntrack",
        "no CAP_NET_ADMIN",
        "net.ipv4.ip_forward is 0",
    ]


def test_other_systems_are_told_to_use_the_proxy() -> None:
    """Nothing else is looked at there."""
    (line,) = lacking(parse_kernel_config(GOOD), platform="darwin")
    assert "use mode proxy" in line

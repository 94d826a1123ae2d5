"""What the machine is."""

import pytest

from chaos.report.machine import PACKAGES, cpu_model, describe_machine

pytestmark = pytest.mark.unit


def test_the_processors_name_is_read() -> None:
    """As x86 writes it; the first core stands for all."""
    assert cpu_model("processor : 0\nmodel name\t: Fast 9000\nmodel name\t: Slow\n") == "Fast 9000"


def test_a_nameless_processor_is_still_said() -> None:
    """ARM has no such line."""
    assert cpu_model("processor : 0\n")


def test_the_description_names_no_host_and_only_known_packages() -> None:
    """Figures and versions, nothing personal."""
    described = describe_machine()

    assert set(described) == {
        "cpu", "cores", "memory_bytes", "system", "python", "valkey", "packages",
    }  # fmt: skip
    assert set(described["packages"]) <= set(PACKAGES)

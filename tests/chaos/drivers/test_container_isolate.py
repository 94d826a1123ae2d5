"""Cutting a container off is refused in words, and there is nothing to take back."""

import pytest

from chaos.drivers.container_hands import ContainerHands
from chaos.drivers.labelled import LabelledContainers
from kit.errors import LabEnvironmentError

pytestmark = pytest.mark.unit


async def test_a_container_is_not_cut_off() -> None:
    """The engine isn't even asked."""
    hands = ContainerHands(LabelledContainers("nobody"))

    with pytest.raises(
        LabEnvironmentError, match=r"store-1\.1: to isolate takes a lab of processes"
    ):
        await hands.isolate("store-1.1", 5.0)
    await hands.isolate("store-1.1", None)

"""A fake lab to run drills and experiments against: a real control plane, two real members."""

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.lab import Lab
from kit.control import ControlClient
from kit.members import Member
from tests.valkey import Valkey

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Rig:
    """A fake lab and where it is."""

    lab: Lab
    control: Valkey
    process: "subprocess.Popen[bytes]"

    def members(self) -> list[Member]:
        return asyncio.run(self._members())

    async def _members(self) -> list[Member]:
        client = ControlClient(self.lab.control)
        try:
            return await client.members()
        finally:
            await client.close()

    def overlay(self) -> Any:
        return asyncio.run(read_overlay(self.lab.control))

    def arm(self) -> Any:
        """Which arm video acts on; None when none."""
        return asyncio.run(self._arm())

    async def _arm(self) -> Any:
        client = ControlClient(self.lab.control)
        try:
            return (await client.ask("arm", {}, targets=["video"]))["video.1"]["arm"]
        finally:
            await client.close()


async def read_overlay(address: tuple[str, int]) -> Any:
    """Return the overlay as control has it; None when there is none."""
    client = ControlClient(address)
    try:
        return (await client.read()).entries.get("overlay")
    finally:
        await client.close()

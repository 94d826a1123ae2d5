"""What a keeper is asked over a channel, and how it is asked: the two ends of four commands."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from chaos.drivers.contract import DEFAULT_LEASE_S
from chaos.drivers.host_fault import HostFault, HostProof, check_host_fault, read_host_fault
from chaos.keeper.keeper import Keeper


def keeper_commands(keeper: Keeper) -> Mapping[str, Callable[[dict[str, Any]], Awaitable[object]]]:
    """Return the keeper's half: command names to what carries them out."""

    async def begin(request: dict[str, Any]) -> object:
        await keeper.begin(read_host_fault(request["fault"]), float(request["lease_s"]))
        return None

    async def renew(request: dict[str, Any]) -> object:
        keeper.renew([str(name) for name in request["ids"]], float(request["lease_s"]))
        return None

    async def end(request: dict[str, Any]) -> object:
        return asdict(await keeper.end(str(request["id"])))

    async def host_faults(request: dict[str, Any]) -> object:
        return [asdict(proof) for proof in await keeper.proofs()]

    return {"begin": begin, "renew": renew, "end": end, "host-faults": host_faults}


class KeeperClient:
    """The asking half, as drivers offer it.

    Args:
        ask: Sends a command with its fields and returns the result.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def begin(self, fault: HostFault, *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """See `chaos.drivers.contract.Driver.begin`."""
        check_host_fault(fault)
        self._ask("begin", fault=asdict(fault), lease_s=lease_s)

    def renew(self, fault_ids: Sequence[str], *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """See `chaos.drivers.contract.Driver.renew`."""
        if fault_ids:
            self._ask("renew", ids=list(fault_ids), lease_s=lease_s)

    def end(self, fault_id: str) -> HostProof:
        """See `chaos.drivers.contract.Driver.end`."""
        return msgspec.convert(self._ask("end", id=fault_id), HostProof)

    def host_faults(self) -> Sequence[HostProof]:
        """See `chaos.drivers.contract.Driver.host_faults`."""
        return msgspec.convert(self._ask("host-faults"), list[HostProof])

"""Faults of hosts on the command line: begun, shown and ended through the lab's driver.

They need no control plane, which may be what they have broken.
"""

from dataclasses import asdict
from typing import Any

from chaos import lab as labs
from chaos.drivers.contract import NEEDS, Driver, HostProof, require
from kit.errors import LabEnvironmentError
from squall.fault_asked import Asked

# Kinds whose effect is there when `begin` returns; the others drain first, or bite under load.
AT_ONCE = frozenset({"kill", "pause", "memory"})


def begin(asked: Asked) -> tuple[dict[str, Any], str, int]:
    """Do what was asked for; returns data, text and the exit code.

    Raises:
        ConfigError: A value is wrong, or the target doesn't exist.
        LabEnvironmentError: No lab runs, or its driver can't do it.
    """
    fault = asked.host_fault()
    driver = labs.load_lab().driver()
    require(driver, NEEDS[fault.kind])
    # Nobody renews it: its lease is its time to live.
    driver.begin(fault, lease_s=fault.ttl_s)
    proof = next(one for one in driver.host_faults() if one.id == fault.id)
    has_missed = fault.kind in AT_ONCE and proof.hits < len(proof.instances)
    lasting = "" if fault.kind == "restart" else f" for {fault.ttl_s:g} s"
    text = f"{fault.describe()}{lasting}: {proof.detail or 'begun'}"
    if fault.kind != "restart":
        text += f"\nend it early: ./squall fault clear {fault.id}"
    return {**asdict(proof), "ttl_s": fault.ttl_s}, text, 1 if has_missed else 0


def standing() -> list[dict[str, Any]]:
    """Return the faults that act now, a running drill's included, as rows of the list."""
    return [_row(proof) for proof in _proofs() if not proof.is_over]


def known_ids() -> list[str]:
    """Return the ids of those that act now."""
    return [proof.id for proof in _proofs() if not proof.is_over]


def end(fault_id: str | None) -> list[dict[str, Any]]:
    """End one, or all that nobody renews; returns their proofs, none where there are none."""
    driver = labs.load_lab().driver()
    meant = [
        proof.id
        for proof in _proofs(driver)
        if not proof.is_over and (proof.id == fault_id or (not fault_id and not proof.is_renewed))
    ]
    return [asdict(driver.end(name)) for name in meant]


def _proofs(driver: Driver | None = None) -> list[HostProof]:
    try:
        return list((driver or labs.load_lab().driver()).host_faults())
    except LabEnvironmentError:
        return []  # no lab, so nothing stands: whoever asks control next says so


def _row(proof: HostProof) -> dict[str, Any]:
    words = [proof.kind, *(f"{name}={value:g}" for name, value in proof.params.items())]
    return {
        **asdict(proof),
        "depth": "host",
        "what": f"{' '.join(words)} on {proof.target}",
        "ends_in_s": round(proof.left_s, 1),
        "proof": f"hits {proof.hits}: {proof.detail}",
        "proof_counts": {"hits": proof.hits},
    }

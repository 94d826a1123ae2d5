"""Certificates for the proxy's tests, made by the openssl command."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """A certificate that signs itself, and its key."""

    certificate: Path
    key: Path


def make_pair(folder: Path, name: str, *options: str) -> Pair:
    """Make a pair for ``localhost``; ``name`` is its common name and its files' name."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-keyout", str(pair.key), "-out", str(pair.certificate), "-days", "2",
        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
    ]  # fmt: skip
    subprocess.run([*command, *(options or ("-nodes",))], check=True, capture_output=True)
    return pair

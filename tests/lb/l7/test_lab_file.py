"""The lab's L7 with a file beside control."""

import random
from pathlib import Path

import pytest

from kit.errors import ConfigError
from lb.l7.checks import Checks
from lb.l7.config import L7Config
from lb.l7.lab_file import REFUSED, LabFile, check_lab_file, load_lab_config
from lb.l7.proxy import Proxy
from lb.l7.sections import Sections
from lb.policy.key_hash import KeyHash
from lb.policy.p2c import P2C
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Where
from tests.lb.l7.test_standalone import rewrite

GATEWAYS = [Where("gateway.1", "127.0.0.1", 1), Where("gateway.2", "127.0.0.1", 2)]
RING = "balance: {algorithm: ring_hash, key: {header: x-user}}\n"
SHIPPED = Path(__file__).parents[3] / "deploy" / "l7"


class Lab:
    """A proxy as the lab has it, and its file."""

    def __init__(self, path: Path | None, chosen: str = "least_request") -> None:
        self.proxy = Proxy(
            FixedSwitches(),
            lambda summary: None,
            choice=lambda: "" if self.file.balances else chosen,
        )
        self.checks = Checks(self.proxy.balancer, FixedSwitches().mode)
        self.file = LabFile(path, Sections(self.proxy, self.checks, random.Random(1)))
        self.taken = 0

    def start(self) -> None:
        """Take the file, and know two gateways."""
        self.file.follow(self._count)
        self.proxy.set_endpoints(GATEWAYS)
        self.file.set_endpoints(GATEWAYS)

    def look(self) -> None:
        """Read the file anew."""
        assert self.file.file is not None
        self.file.file.look(self.file._take)
        self.proxy.balancer._refresh(0.0)

    def _count(self) -> None:
        self.taken += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "l7.yaml"


SAID_ELSEWHERE = {
    "listen: '127.0.0.1:1'": "docker-compose.yml says where l7 listens",
    "workers: 2": "l7 is one process",
    "backends: [{address: 'a:1'}]": "the registry says who they are",
    "policies: {retry: off}": "squall policy set",
    "tls: {listen: '127.0.0.1:1'}": "TLS ends in front of l7",
    "requests: {budget_ms: 5}": "it is a setting",
    "requests: {attempts: 2}": "it is a setting",
    "requests: {retry_answers: true}": "it is a setting",
    "balance: {zone: {home: a}}": "zones need the backends in the file",
    "balance: {canary_share: 0.5}": "canaries need the backends in the file",
    "balance: {subset: {client: 0}}": "subsets need the backends in the file",
}


@pytest.mark.unit
@pytest.mark.parametrize("text", SAID_ELSEWHERE)
def test_what_control_says_the_file_may_not(path: Path, text: str) -> None:
    """One figure, one place; the message names the other."""
    rewrite(path, text)
    with pytest.raises(ConfigError, match=rf"^{path}:1:") as caught:
        load_lab_config(path)
    assert SAID_ELSEWHERE[text] in str(caught.value)


@pytest.mark.unit
def test_every_refusal_is_tried_above() -> None:
    """So that none is forgotten."""
    assert len(SAID_ELSEWHERE) == len(REFUSED)


@pytest.mark.unit
def test_a_wrong_file_ends_the_start_with_2(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line; without a file nothing is checked."""
    check_lab_file(None)
    rewrite(path, "balanse: {}")
    with pytest.raises(SystemExit) as ended:
        check_lab_file(path)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"l7: {path}:1:1: unknown key balanse; did you mean")


@pytest.mark.unit
async def test_without_a_file_everything_is_as_shipped() -> None:
    """No limit, no key, and control's choice holds."""
    lab = Lab(None, chosen="peak_ewma")
    lab.start()
    assert lab.file.config == L7Config()
    assert lab.taken == 1
    assert lab.proxy.snapshot()["picks"] == "peak_ewma"
    for _ in range(5000):
        lab.proxy.line.on_start("gateway.1")
    assert not lab.proxy.line.full
    lab.file.close()


@pytest.mark.unit
async def test_the_sections_are_taken_and_taken_anew(path: Path) -> None:
    """The ring while the file says so; then control's choice again. A mistake changes nothing."""
    rewrite(
        path, RING + "limits: {backend_connections: 2}\nrequests: {retry_methods: [GET, PUT]}\n"
    )
    lab = Lab(path, chosen="peak_ewma")
    lab.start()
    assert isinstance(lab.proxy.balancer.algorithm, KeyHash)
    assert lab.file.config.requests.repeatable_methods == {b"GET", b"PUT"}
    lab.proxy.line.on_start("gateway.1")
    lab.proxy.line.on_start("gateway.1")
    assert lab.proxy.line.full == {"gateway.1"}

    rewrite(path, "listen: 'a:1'\n")
    lab.look()
    assert "docker-compose.yml" in str(lab.file.snapshot()["mistake"])
    assert isinstance(lab.proxy.balancer.algorithm, KeyHash)

    rewrite(path, "limits: {backend_connections: 0}\n")
    lab.look()
    assert not lab.proxy.line.full
    assert lab.proxy.snapshot()["picks"] == "peak_ewma"
    assert lab.file.snapshot() == {"reloads": 1, "failed_reloads": 1, "mistake": ""}
    assert lab.taken == 2
    lab.file.close()


@pytest.mark.unit
@pytest.mark.parametrize("name", [one.name for one in SHIPPED.glob("*.yaml")])
def test_what_is_shipped_can_be_used(name: str) -> None:
    """Each file of deploy/l7."""
    assert load_lab_config(SHIPPED / name) != L7Config()


@pytest.mark.unit
async def test_a_proxy_without_a_choice_keeps_what_the_file_says(path: Path) -> None:
    """P2C is what least_request is."""
    rewrite(path, "limits: {backend_connections: 7}\n")
    lab = Lab(path)
    lab.start()
    assert isinstance(lab.proxy.balancer.algorithm, P2C)
    lab.file.close()

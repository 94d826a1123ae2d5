"""The wheels, built once, and one environment per set of packages that a library adapts."""

from pathlib import Path

import pytest

from tests.packaging.wheels import LIBRARIES, ROOT, Environment, build_wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the three wheels into one folder."""
    folder = tmp_path_factory.mktemp("wheels")
    for library in LIBRARIES:
        build_wheel(ROOT / library, folder)
    return folder


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """Install hashing and resilience where nothing else is."""
    environment = Environment(tmp_path_factory.mktemp("bare") / "venv", wheels)
    environment.install("squall-hashing", "squall-resilience")
    return environment


@pytest.fixture(scope="session")
def with_fastapi(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """Install resilience beside FastAPI, which its ASGI layers can wrap and do not need."""
    folder = tmp_path_factory.mktemp("fastapi") / "venv"
    environment = Environment(folder, wheels, adapted=["fastapi"])
    environment.install("squall-resilience")
    return environment


@pytest.fixture(scope="session")
def with_grpc(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """Install resilience with its extra; pip refuses when the extra names too little."""
    folder = tmp_path_factory.mktemp("grpc") / "venv"
    environment = Environment(folder, wheels, adapted=["grpcio", "googleapis-common-protos"])
    environment.install("squall-resilience[grpc]")
    return environment


@pytest.fixture(scope="session")
def with_httpx2(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """Install resilience with its other extra."""
    folder = tmp_path_factory.mktemp("httpx2") / "venv"
    environment = Environment(folder, wheels, adapted=["httpx2"])
    environment.install("squall-resilience[httpx2]")
    return environment


@pytest.fixture(scope="session")
def with_hiredis(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """Install shard by its name alone: the two libraries it stands on come by its metadata."""
    folder = tmp_path_factory.mktemp("hiredis") / "venv"
    environment = Environment(folder, wheels, adapted=["hiredis"])
    environment.install("squall-shard")
    return environment

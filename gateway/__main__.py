"""Run the gateway: ``python -m gateway``."""

from gateway.server import main
from kit.run import run

if __name__ == "__main__":
    run(main, "gateway")

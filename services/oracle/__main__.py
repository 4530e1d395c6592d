"""`python -m services.oracle`: the oracle as a process."""

from libs.runtime.process import run
from services.oracle.app import build
from services.oracle.settings import OracleSettings

if __name__ == "__main__":
    run(OracleSettings, build)

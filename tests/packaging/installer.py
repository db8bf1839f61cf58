"""The script that `make` installs with, loaded as a module."""

import importlib.util
import os

from tests.live_server import ROOT
from tests.packaging.wheels import PIP, ran

_spec = importlib.util.spec_from_file_location("installer", ROOT / ".ci" / "install.py")
assert _spec is not None and _spec.loader is not None
INSTALLER = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(INSTALLER)


def uv_environment() -> dict[str, str]:
    """What uv must be told here, so that it finds packages where pip does."""
    settings = INSTALLER.pip_settings(ran(*PIP, "config", "list", cwd=ROOT).stdout)
    return dict(INSTALLER.uv_variables(settings, os.environ))

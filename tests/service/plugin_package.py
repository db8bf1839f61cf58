"""The plug-in of CONTRIBUTING.md as a package: its files word for word, and installed into a folder."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files_of_contributing() -> dict[str, str]:
    """File name → content of the section "Add a scorer"."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Add a scorer\n")[2].partition("\n## ")[0]
    found = re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", section, flags=re.DOTALL)
    return dict(found)


def installed(folder: Path, files: dict[str, str]) -> Path:
    """Installs the package of those files by pip, without a network; gives the folder to put on PYTHONPATH."""
    source, target = folder / "source", folder / "site"
    source.mkdir(parents=True)
    for name, content in files.items():
        (source / name).write_text(content, encoding="utf-8")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(target), str(source)], check=True, capture_output=True, text=True)
    return target


def rewritten(site: Path, folder: Path, code: str) -> Path:
    """The same package as installed in `site`, with another module: a copy under `folder`, to put on PYTHONPATH."""
    target = folder / "site"
    shutil.copytree(site, target)
    (target / "rewright_variety.py").write_text(code, encoding="utf-8")
    return target

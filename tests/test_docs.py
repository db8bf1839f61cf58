"""The pages say what is there: files, links, make targets, settings with their defaults, the map of the house.

`docs/log.md` and `CHANGELOG.md` are left out where they speak of the past, with the names of their day.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rewright.service.settings import CONFIG_VARIABLE, PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("service", "clients", "trainer")
TOPS = (*PACKAGES, "docs", "examples", "k8s", "tests")
PAGES = sorted(
    {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "k8s" / "README.md", *ROOT.glob("docs/**/*.md")}
    - {ROOT / "docs" / "log.md"}
)
README_BYTES = 7_168
OF_USERS = {
    "service.py", "clients.py", "rewright_variety.py", "agent.py", "app.py", "rewright_verl.py", "rewright_slime.py",
    "rewright_areal.py",
}  # fmt: skip
"""Files of a user's own that the pages speak of."""

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
WORD = re.compile(r"[\w./*-]+")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(text: str) -> list[str]:
    """Every piece of code: what stands in backticks, and the fenced blocks."""
    return SPAN.findall(FENCE.sub("", text)) + FENCE.findall(text)


def named_files(text: str) -> set[str]:
    """Paths that begin with a folder of ours, and bare names of Python files, in backticks."""
    words = [word for span in SPAN.findall(FENCE.sub("", text)) for word in WORD.findall(span)]
    return {w for w in words if w.endswith(".py") or (w.split("/")[0] in TOPS and "/" in w)} - OF_USERS


def is_there(name: str, page: Path) -> bool:
    if "/" not in name:
        return any(list(ROOT.glob(f"{top}/**/{name}")) for top in TOPS)
    return any(list(base.glob(name.rstrip("/."))) for base in (ROOT, page.parent))


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_files_that_a_page_names_exist(page):
    missing = [name for name in sorted(named_files(page.read_text(encoding="utf-8"))) if not is_there(name, page)]
    assert not missing


@each_page
def test_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@each_page
def test_make_targets_that_a_page_names_exist(page):
    rules = re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    named = {target for code in code_of(page.read_text(encoding="utf-8")) for target in TARGET.findall(code)}
    assert named <= targets


def test_the_readme_stays_short():
    assert (ROOT / "README.md").stat().st_size <= README_BYTES


# --- docs/settings.md -------------------------------------------------------------------------------------------------


def leaves(block: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    """Each setting's variable with its field."""
    for name, field in block.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), field


def shown(default: Any) -> str:
    """A default as the table writes it."""
    match default:
        case None | () | []:
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case dict():
            pairs = ", ".join(f'"{key}": {shown(value)}' for key, value in default.items())
            return f"`{{{pairs}}}`"
        case str():
            return f"`{default}`"
    return str(default)


def rows_of_settings() -> dict[str, str]:
    """variable: what stands in the column of defaults."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([A-Z_a-z<>]+)` \| ([^|]+?) \|", text, re.MULTILINE))


def test_every_setting_is_listed_with_its_default_and_nothing_else_is():
    rows = rows_of_settings()
    seen = {CONFIG_VARIABLE}
    wrong = {}
    for variable, field in leaves(Settings, PREFIX):
        shared = re.sub(r"(?<=SCORERS__)[A-Z]+?(?=__)", "<NAME>", variable)
        listed = variable if variable in rows else shared
        seen.add(listed)
        if listed not in rows or (field.default_factory is None and rows[listed] != shown(field.default)):
            wrong[variable] = shown(field.default)
    assert not wrong
    assert not rows.keys() - seen


# --- docs/structure.md ------------------------------------------------------------------------------------------------


def mapped() -> set[str]:
    """Every file and folder of the map's trees, as paths from the root."""
    text = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
    found: set[str] = set()
    for tree in re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        above: list[tuple[int, str]] = []
        for line in tree.splitlines():
            indent = len(line) - len(line.lstrip())
            above = [(at, folder) for at, folder in above if at < indent]
            name = line.split()[0]
            found.add("".join(folder for _, folder in above) + name)
            if name.endswith("/"):
                above.append((indent, name))
    return found


def test_what_is_on_the_map_exists():
    assert not sorted(place for place in mapped() if not (ROOT / place).exists())


def test_every_module_is_on_the_map():
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    missing = [file for file in files if file.name != "__init__.py" and str(file.relative_to(ROOT)) not in mapped()]
    lines = [f"{file.relative_to(ROOT)}    {_summary(file)}" for file in missing]
    assert not missing, "docs/structure.md lacks, with the first line of each docstring:\n" + "\n".join(lines)


def _summary(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]

"""The brackets of the house: which room may import what, read from the imports themselves and from real processes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "sentence_transformers", "fastapi", "uvicorn", "math_verify", "sympy", "trl", "peft")


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names that the file imports, type-checking blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("module", ["service.schema", "service.errors", "service.settings", "clients", "trainer"])
def test_light_rooms_load_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "[]"


def test_clients_import_only_the_wire_language_of_the_service():
    for path in files("clients"):
        for name in imports_of(path):
            assert not within(name, "trainer", *HEAVY), f"{path}: {name}"
            assert not within(name, "service") or within(name, "service", "service.schema", "service.errors"), name
            assert name == "service" or not within(name, "service") or within(name, "service.schema", "service.errors")


def test_trainer_reaches_the_service_only_through_clients():
    for path in files("trainer"):
        assert not [name for name in imports_of(path) if within(name, "service")], path


def test_service_imports_neither_clients_nor_trainer():
    for path in files("service"):
        assert not [name for name in imports_of(path) if within(name, "clients", "trainer")], path


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("schema.py", ("pydantic", "typing")),
        ("errors.py", ("typing",)),
        (
            "reward_rule.py",
            ("math", "collections", "dataclasses", "typing", "service.schema"),
        ),
        ("signals.py", ("re", "typing", "collections", "service.schema", "service.ascii_ngrams")),
        ("ascii_ngrams.py", ("collections", "functools", "typing", "numpy")),
    ],
)
def test_pure_rooms_stay_pure(file, allowed):
    assert not [n for n in imports_of(ROOT / "service" / file) if not within(n, *allowed)]


def test_batching_and_the_worker_pool_know_nothing_of_scoring():
    for file in ("batching.py", "worker_pool.py"):
        names = imports_of(ROOT / "service" / file)
        assert not [n for n in names if within(n, "service.scorers", "service.schema", "torch", "math_verify")], file


def test_only_wiring_knows_concrete_scorers():
    concrete = [
        f"service.scorers.{path.stem}" for path in files("service/scorers") if path.stem not in {"contract", "__init__"}
    ]
    for path in (ROOT / "service").glob("*.py"):
        if path.name == "wiring.py":
            assert not [n for n in imports_of(path, top_level_only=True) if within(n, *concrete)]
        else:
            assert not [n for n in imports_of(path) if within(n, *concrete)], path


def test_math_verify_is_imported_in_the_worker_alone():
    importers = [p.name for p in files("service") if any(within(n, "math_verify") for n in imports_of(p))]
    assert importers == ["verify_worker.py"]


def test_only_settings_and_main_read_the_environment():
    def reads(path: Path) -> bool:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        return bool(names & {"os.environ", "os.getenv"}) or bool(imports_of(path) & {"os.environ", "os.getenv"})

    assert {p.name for p in files("service") + files("clients") if reads(p)} == {"settings.py", "__main__.py"}

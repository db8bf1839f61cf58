"""The walls of the house: which room may import what, read from the imports themselves and from real processes."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "sentence_transformers", "fastapi", "uvicorn", "math_verify", "sympy", "trl", "peft")
OURS = ("service", "clients", "trainer")

WIRE = ("rewright.service.schema", "rewright.service.errors", "rewright.service.backoff")
"""What anybody may know of the service."""

STAGES = ("grpo", "sft", "build", "evaluate", "report", "audit")
"""Rooms of the trainer that know nothing of one another; `pipeline` and `commands` know them all."""

ROOMS = {
    "rewright.clients": ("rewright.clients", *WIRE),
    "rewright.trainer": ("rewright.trainer", "rewright.clients", "rewright.service.models"),
    "rewright.service": ("rewright.service", "rewright.clients.rows", "rewright.clients.view"),
    "rewright.service.core": ("rewright.service.core", "rewright.service.errors"),
    "rewright.service.models": (
        "rewright.service.models",
        "rewright.service.errors",
        "rewright.service.core.redaction",
    ),
    "rewright.service.mathematics": ("rewright.service.mathematics",),
    "rewright.service.reward": (
        "rewright.service.reward",
        "rewright.service.core",
        "rewright.service.scorers.base",
        "rewright.service.mathematics.reasoning",
        *WIRE,
    ),
}
"""room: the packages of ours that it may import."""

PURE = {
    "service/schema/base.py": ("pydantic", "typing", "rewright.service.schema"),
    "service/schema/requests.py": ("pydantic", "typing", "rewright.service.schema"),
    "service/schema/items.py": ("pydantic", "typing", "rewright.service.schema"),
    "service/schema/answers.py": ("pydantic", "typing", "rewright.service.schema"),
    "service/errors.py": ("typing",),
    "service/backoff.py": ("random", "re", "time", "dataclasses", "datetime", "email"),
    "service/models/defaults.py": ("typing",),
    "service/reward/rule.py": ("math", "collections", "dataclasses", "typing", "rewright.service.schema"),
    "service/reward/signals.py": ("re", "typing", "collections", "rewright.service.schema", "rewright.service.reward"),
    "service/reward/ngrams.py": ("collections", "functools", "typing", "numpy"),
}
"""file: everything that it may import at all."""


def imported(path: Path, *, typing_too: bool = False, top_level_only: bool = False) -> set[str]:
    """Dotted names that the file imports, wherever in it; those of type checkers alone only with `typing_too`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not typing_too and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def files(room: str) -> list[Path]:
    """Of a dotted room: a folder, or one file."""
    place = ROOT / room.removeprefix("rewright.").replace(".", "/")
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def modules() -> dict[str, Path]:
    dotted = {p: "rewright." + ".".join(p.relative_to(ROOT).with_suffix("").parts) for top in OURS for p in files(top)}
    return {name.removesuffix(".__init__"): path for path, name in dotted.items()}


def scorer_rooms() -> list[str]:
    """One for each scorer, and for each thing that stands before scorers: a folder, or a file of its own."""
    shared = {"__init__", "base", "spec", "scalar", "registry", "probe", "__pycache__"}
    places = (ROOT / "service" / "scorers").iterdir()
    return sorted(f"rewright.service.scorers.{p.stem}" for p in places if p.stem not in shared)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    for path in files(room):
        wrong = [n for n in imported(path, typing_too=True) if within(n, "rewright") and not within(n, *ROOMS[room])]
        assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize("room", ["rewright.service.models", "rewright.service.mathematics", "rewright.clients"])
def test_a_room_without_http_serving_or_rules(room):
    assert not [p for p in files(room) if any(within(n, "fastapi", "starlette", "uvicorn") for n in imported(p))]


def test_mathematics_is_plain_python():
    allowed = (*sys.stdlib_module_names, "numpy", "sympy", "rewright.service.mathematics")
    for path in files("rewright.service.mathematics"):
        assert not [n for n in imported(path) if not within(n, *allowed)], path


@pytest.mark.parametrize("room", scorer_rooms())
def test_no_scorer_imports_another(room):
    others = [other for other in scorer_rooms() if other != room]
    for path in files(room):
        assert not [n for n in imported(path, typing_too=True) if within(n, *others)], path


@pytest.mark.parametrize("stage", STAGES)
def test_stages_of_the_trainer_never_import_one_another(stage):
    others = [f"rewright.trainer.{other}" for other in (*STAGES, "pipeline", "commands") if other != stage]
    for path in files(f"rewright.trainer.{stage}"):
        assert not [n for n in imported(path, typing_too=True) if within(n, *others)], path


@pytest.mark.parametrize("file", PURE)
def test_pure_files_stay_pure(file):
    assert not [n for n in imported(ROOT / file) if not within(n, *PURE[file])]


def test_nothing_imports_in_a_circle():
    known = modules()
    needs = {
        name: {d for n in imported(path, typing_too=True) if (d := nearest(n, known))} for name, path in known.items()
    }
    assert not list(circles(needs))


def nearest(name: str, known: dict[str, Path]) -> str | None:
    """The module that an imported name is, or stands in."""
    return name if name in known else parent if (parent := name.rpartition(".")[0]) in known else None


def circles(needs: dict[str, set[str]]) -> Iterator[list[str]]:
    """Paths that lead back to where they began, one for each module that is on any."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        ahead = [iter([start])]
        while ahead:
            following = next(ahead[-1], None)
            if following is None:
                ahead.pop()
                if path:
                    done.add(path.pop())
            elif following in path:
                yield [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                ahead.append(iter(sorted(needs[following])))


def test_a_circle_would_be_found():
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}))
    assert not list(circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}))


def test_only_commands_of_the_service_read_data_of_the_users():
    for path in files("rewright.service"):
        if path.parent.name != "commands":
            assert not [n for n in imported(path, typing_too=True) if within(n, "rewright.clients.rows")], path


def test_only_its_own_page_of_the_service_knows_how_pages_are_made():
    knows = [p for p in files("rewright.service") if [n for n in imported(p) if within(n, "rewright.clients.view")]]
    assert [path.relative_to(ROOT).as_posix() for path in knows] == ["service/http/ui.py"]


def test_only_wiring_knows_concrete_scorers():
    for path in files("rewright.service"):
        if path.parent.name == "service" or path.parent.parent == ROOT / "service":
            if path.parent.name == "scorers":
                continue
            wiring = path.name == "wiring.py"
            names = imported(path, typing_too=not wiring, top_level_only=wiring)
            if path.parent.name == "commands" and path.name.startswith("judge_"):
                # They measure the judge and fit it.
                names = {name for name in names if not within(name, "rewright.service.scorers.judge")}
            assert not [n for n in names if within(n, *scorer_rooms())], path


def test_math_verify_is_imported_in_the_worker_alone():
    importers = [p for p in files("rewright.service") if any(within(n, "math_verify") for n in imported(p))]
    assert importers == [ROOT / "service" / "scorers" / "verify" / "worker.py"]


def test_only_settings_and_main_read_the_environment():
    def reads(path: Path) -> bool:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        return bool(names & {"os.environ", "os.getenv"}) or bool(imported(path) & {"os.environ", "os.getenv"})

    readers = {p.name for p in files("rewright.service") + files("rewright.clients") if reads(p)}
    assert readers == {"settings.py", "__main__.py"}


@pytest.mark.parametrize(
    "module",
    [
        "rewright.service.schema",
        "rewright.service.errors",
        "rewright.service.settings",
        "rewright.clients",
        "rewright.clients.http_client",
        "rewright.clients.cli.main",
        "rewright.trainer",
    ],
)
def test_light_rooms_load_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "[]"


def test_names_of_a_users_own_files_do_not_get_in_the_way(tmp_path):
    for name in OURS:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file of the user')\n")
    code = "from rewright.clients.adapters.trl import RewardFunction; print(RewardFunction.__name__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert shown.stdout.strip() == "RewardFunction", shown.stderr

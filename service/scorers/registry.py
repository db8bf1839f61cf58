"""Which scorers there are: those that come with the service, and plug-ins of other distributions.

A built-in scorer is one line here. A plug-in is an entry point of the group `rewright.scorers`, named as its scorer and
loading to a `ScorerSpec`; it is loaded only where the settings name it, so that one which is merely installed can do no
harm. Order is gate order; plug-ins come last.
"""

from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from rewright.service.errors import SettingsError
from rewright.service.scorers.diversity.spec import SPEC as DIVERSITY
from rewright.service.scorers.judge.spec import SPEC as JUDGE
from rewright.service.scorers.nll.spec import SPEC as NLL
from rewright.service.scorers.spec import ScorerSpec
from rewright.service.scorers.verify.spec import SPEC as VERIFY

GROUP = "rewright.scorers"
BUILT_IN = (VERIFY, JUDGE, NLL, DIVERSITY)


def plugin_names() -> list[str]:
    """Names of the installed plug-ins, none of which is loaded for it."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def specs_of(names: Iterable[str]) -> tuple[ScorerSpec, ...]:
    """The built-in specs and the plug-ins of those names, each once.

    Raises `SettingsError` for a name that nothing installed has, and for a plug-in that cannot be loaded.
    """
    built_in = {spec.name for spec in BUILT_IN}
    return (*BUILT_IN, *(_plugin(name) for name in sorted(set(names) - built_in)))


def _plugin(name: str) -> ScorerSpec:
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join([spec.name for spec in BUILT_IN] + plugin_names())
        raise SettingsError(f"scorers.{name}: there is no such scorer; known are {known}")
    if len(found) > 1:
        offered = " and ".join(sorted(_origin(entry) for entry in found))
        raise SettingsError(f"scorers.{name}: {offered} offer a scorer of this name; uninstall all but one")
    (entry,) = found
    try:
        spec = entry.load()
    except (Exception, SystemExit) as error:
        raise SettingsError(f"scorers.{name}: {_origin(entry)} cannot be loaded: {told(error)}") from error
    if not isinstance(spec, ScorerSpec):
        raise SettingsError(f"scorers.{name}: {_origin(entry)} is a {type(spec).__name__} and must be a ScorerSpec")
    if spec.name != name:
        raise SettingsError(f"scorers.{name}: {_origin(entry)} calls itself {spec.name!r}; the two names must be equal")
    return replace(spec, version=f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else None)


def _origin(entry: EntryPoint) -> str:
    package = f" of the package {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    return f"the plug-in {entry.value}{package}"


def told(error: BaseException) -> str:
    """Its type and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]

"""Everything that can be found wrong before compute is spent: the service, its rule, its π0.

Promises: a service that is not there, not ready, locked, or has a scorer off that the rule needs is a `ServiceTrouble`
that names the address and the fix, within seconds; a π0 that does not fit the policy's backbone is a warning, since
training against another judge of likelihood can be meant.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.locating import Located
from rewright.service.models.rendering import Rendering
from rewright.trainer.errors import RecipeError, ServiceTrouble
from rewright.trainer.recipes.blocks import Reward

PROBE_S = 60.0
INFO_S = 10.0
_PROBE = {
    "id": "probe",
    "problem": "What is 2 + 3?",
    "reference": "2 + 3 = 5, so the answer is $\\boxed{5}$.",
    "answer": "5",
    "candidates": ["Adding 3 to 2 gives 5.\n\n$\\boxed{5}$", "Two and three are five.\n\n$\\boxed{5}$"],
}


class HasKeyFile(Protocol):
    """A block of a recipe that says how to reach the service."""

    @property
    def api_key_file(self) -> str | None: ...


@dataclass(frozen=True)
class Served:
    """What the service says of itself, and how it renders a problem."""

    info: dict[str, Any]
    rendering: Rendering


def api_key(reward: "HasKeyFile") -> str | None:
    """The key that a block of a recipe names a file for. Raises `RecipeError` where the file cannot be read."""
    if reward.api_key_file is None:
        return None
    try:
        return Path(reward.api_key_file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"api_key_file: cannot read {reward.api_key_file}: {error}") from None


def check_service(reward: Reward, *, wait_s: float = INFO_S) -> Served:
    """Ask every address for its configuration, and have two candidates scored by the recipe's rule.

    wait_s: how long an address may take to answer at all. Raises `ServiceTrouble`; `RecipeError` for a key file.
    """
    key = api_key(reward)
    infos = [_ask(url, key, reward, wait_s) for url in reward.base_urls]
    first = infos[0]
    for url, info in zip(reward.base_urls, infos, strict=True):
        if _models(info) != _models(first):
            raise ServiceTrouble(
                f"reward.base_urls: {url} scores with other models than {reward.base_urls[0]}; rewards of one group "
                "would not be comparable"
            )
    template = first["scorers"].get("nll", {}).get("template", {})
    return Served(first, Rendering.of_described(template))


def incompatibilities(served: Served, located: Located, chat: ChatFormat) -> list[str]:
    """In which respects the service's π0 is not the backbone that is trained; empty where it fits."""
    nll = served.info["scorers"].get("nll")
    if nll is None:
        return ["the service scores no nll: r_dist will be missing"]
    found = []
    if located.revision is not None and nll.get("revision") not in (located.revision, None, "unknown"):
        found.append(
            f"the service's π0 is {nll.get('model')} ({_short(nll.get('revision'))}), the policy's backbone is "
            f"{located.name} ({_short(located.revision)}): r_dist will measure likelihood under another model"
        )
    template = nll.get("template", {}).get("sha256")
    if template not in (None, chat.template_sha256):
        found.append("the service's π0 has another chat template than the policy's backbone")
    elif (ends := nll.get("template", {}).get("turn_ends_with")) not in (None, chat.describe()["turn_ends_with"]):
        found.append(f"the service ends an answer with {ends!r}, the policy's backbone {chat.picture()}")
    return found


def _ask(url: str, key: str | None, reward: Reward, wait_s: float) -> dict[str, Any]:
    try:
        with RewardClient(url, api_key=key, deadline_s=wait_s) as client:
            info = client.info()
            scores = client.reward([_PROBE], rule=reward.rule(), deadline_s=PROBE_S)
    except RewrightError as error:
        raise ServiceTrouble(
            f"the reward service at {url} cannot be used: {error.message} "
            "(start it with `rewright serve`, or set reward.base_urls)"
        ) from None
    for candidate in scores.groups[0].candidates:
        if candidate.status == "failed":
            raise ServiceTrouble(
                f"the reward service at {url} cannot score: {candidate.error.code}, {candidate.error.message}"
            )
    return info


def _models(info: dict[str, Any]) -> Any:
    return {
        name: (scorer.get("model"), scorer.get("revision"), scorer.get("template"))
        for name, scorer in info["scorers"].items()
    }


def _short(revision: Any) -> str:
    return str(revision).removeprefix("sha256:")[:12]

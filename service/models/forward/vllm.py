"""log π0(ỹ_t | x, ỹ_<t) computed by vLLM: an engine of its own, in a process of its own, used for nothing but scoring.

Promises: the same numbers as the other ways, up to the rounding of the engine's kernels. Where the installed version
scores given tokens (`prompt_logprob_token_ids` from `prompt_logprob_start` on, vLLM 0.32 with its second model runner),
the output layer runs on target rows only and prefixes come from the engine's cache; which of the two forms is in use is
found on a probe, and told as `way`. Otherwise every row of the prompt goes through the output layer and no prefix is
shared, which is what `prompt_logprobs` means there.

Not covered: a server of somebody else's (this engine's context and cache belong to this scorer). The engine keeps one
position for a token that it must generate, so the longest text is one token shorter than with torch.
"""

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import Any, Literal

import torch

from rewright.service.core.redaction import HIDDEN, redacted, secrets_in
from rewright.service.errors import ScorerUnavailable, SettingsError
from rewright.service.models.backbone import load_tokenizer
from rewright.service.models.eos import located_eos_ids
from rewright.service.models.forward.packing import Ids, Tree
from rewright.service.models.locating import locate
from rewright.service.models.memory_split import OutOfMemory

_log = logging.getLogger(__name__)

Way = Literal["vllm targets", "vllm prompt"]

_AGREE = 0.05
"""Nats per token: the probe must be the same both ways, up to bfloat16."""
_LOOK_S = 0.5
"""Between two looks whether the engine lives, while it computes."""


@dataclasses.dataclass(frozen=True)
class VllmBackbone:
    """π0 inside a running engine; what `nll.Loaded` asks for."""

    engine: Any
    tokenizer: Any
    eos_ids: frozenset[int]
    name: str
    revision: str
    device: str
    dtype: str
    context_window: int
    embedded: bool

    @classmethod
    def load(
        cls,
        model: str,
        *,
        precision: str,
        device: str,
        max_tokens: int | None,
        batch_tokens: int,
        engine_args: Mapping[str, Any],
        setting: str = "scorers.nll",
    ) -> "VllmBackbone":
        """Start the engine. Raises `SettingsError` where vLLM is absent or cannot run `model`."""
        try:
            from vllm import LLM
        except ImportError as error:
            raise SettingsError(
                f"{setting}.backend: vllm is asked for, but cannot be imported ({error}); "
                "pip install 'rewright[vllm]', or use the backend torch"
            ) from error
        if device != "auto":
            raise SettingsError(
                f"{setting}.device: vLLM takes its own device ({device!r} given); leave `auto`, and choose the GPU "
                "with CUDA_VISIBLE_DEVICES"
            )
        located = locate(model, setting=setting)
        tokenizer = load_tokenizer(located, setting=setting)
        arguments = {
            "dtype": precision,
            "max_model_len": max_tokens and max_tokens + 1,
            "max_num_batched_tokens": batch_tokens,
            "disable_log_stats": True,
            "enforce_eager": True,  # graphs serve decoding, which never happens here
            **engine_args,
        }
        try:
            engine: Any = LLM(model=located.source, **arguments)
        except Exception as error:
            why = " ".join((str(error).strip() or type(error).__name__).split())
            for secret in secrets_in(arguments):
                why = why.replace(secret, HIDDEN)
            raise SettingsError(
                f"{setting}: vLLM cannot run {model!r} with {redacted(arguments)}: {why[:400]}; change "
                "the model, `precision`, `max_tokens` or `engine_args`, or use the backend torch"
            ) from error
        config = engine.llm_engine.model_config
        return cls(
            engine=engine,
            tokenizer=tokenizer,
            eos_ids=located_eos_ids(located, tokenizer),
            name=located.title,
            revision=located.revision or "unknown",
            device="vllm",
            dtype=str(config.dtype),
            context_window=int(config.max_model_len) - 1,
            embedded=located.embedded,
        )


class VllmScorer:
    """A `TargetScorer` over a running engine. Belongs to the thread that calls it.

    Raises `ScorerUnavailable` once the engine is dead.
    """

    def __init__(self, backbone: VllmBackbone, *, batch_tokens: int) -> None:
        self._engine = backbone.engine
        self.way: Way = "vllm prompt"
        if _can_score_targets():
            self.way = self._faster_if_it_agrees()

    def score(self, trees: Sequence[Tree]) -> list[list[torch.Tensor | OutOfMemory]]:
        """For each tree and each of its candidates the log-probabilities of its ids, float32 on the CPU, shape [n]."""
        found = self._logprobs([(tree.prefix, ids) for tree in trees for ids in tree.candidates], self.way)
        ends = accumulate(len(tree.candidates) for tree in trees)
        return [list(found[end - len(tree.candidates) : end]) for end, tree in zip(ends, trees, strict=True)]

    def close(self) -> None:
        self._engine.llm_engine.engine_core.shutdown()

    def _logprobs(self, pairs: Sequence[tuple[Ids, Ids]], way: Way) -> list[torch.Tensor]:
        from vllm import SamplingParams

        prompts = [{"prompt_token_ids": [*prefix, *ids]} for prefix, ids in pairs]
        asked = [
            SamplingParams(max_tokens=1, detokenize=False, prompt_logprobs=0)
            if way == "vllm prompt"
            else SamplingParams(
                max_tokens=1,
                detokenize=False,
                prompt_logprob_token_ids=[[token] for token in ids],
                prompt_logprob_start=len(prefix) - 1,
            )
            for prefix, ids in pairs
        ]
        answers = self._generated(prompts, asked)
        read = _of_prompt if way == "vllm prompt" else _of_targets
        return [read(answer, len(prefix), ids) for answer, (prefix, ids) in zip(answers, pairs, strict=True)]

    def _generated(self, prompts: Any, asked: Any) -> Any:
        """vLLM waits forever for the answer of an engine that died, so the waiting is done aside, and watched."""
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._engine.generate(prompts, asked, use_tqdm=False))
            except BaseException as error:
                answer.set_exception(error)

        if not self._dead():
            threading.Thread(target=ask, name="vllm-ask", daemon=True).start()
        while not self._dead():
            try:
                return answer.result(timeout=_LOOK_S)
            except TimeoutError:
                if answer.done():
                    raise
        raise ScorerUnavailable("vLLM's engine is dead")

    def _dead(self) -> bool:
        return bool(self._engine.llm_engine.engine_core.resources.engine_dead)

    def _faster_if_it_agrees(self) -> Way:
        prefix, ids = list(range(20, 40)), list(range(45, 70))
        # Twice the same prefix: the second finds it in the engine's cache.
        pairs = [(prefix, ids), (prefix, ids[:9])]
        (plain, _) = self._logprobs(pairs, "vllm prompt")
        try:
            for whole, part in [self._logprobs(pairs, "vllm targets") for _ in range(2)]:
                if (whole - plain).abs().max() > _AGREE or (part - plain[:9]).abs().max() > _AGREE:
                    return "vllm prompt"
        except ScorerUnavailable:
            raise
        except Exception as error:
            # Known to this version, but not to the model runner in use: vLLM has an exception of its own for that.
            _log.info("vLLM does not score given tokens here: %s", error)
            return "vllm prompt"
        return "vllm targets"


def _can_score_targets() -> bool:
    from vllm import SamplingParams

    return hasattr(SamplingParams(), "prompt_logprob_token_ids")


def _of_prompt(answer: Any, start: int, ids: Ids) -> torch.Tensor:
    rows = answer.prompt_logprobs[start:]
    return torch.tensor([row[token].logprob for row, token in zip(rows, ids, strict=True)], dtype=torch.float32)


def _of_targets(answer: Any, start: int, ids: Ids) -> torch.Tensor:
    values_TN = torch.as_tensor(answer.prompt_token_id_logprobs, dtype=torch.float32)
    if values_TN.shape != (len(ids), 1):
        raise ValueError(f"{tuple(values_TN.shape)} log-probabilities for {len(ids)} tokens")
    return values_TN[:, 0]

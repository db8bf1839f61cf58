"""Rewards for callers that do not send groups: one member a call, and flat batches whose groups are found by key."""

import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import from_json

from rewright.service import schema
from rewright.service.errors import InvalidRequest, RewrightError, ScorerUnavailable
from rewright.service.http import error_responses
from rewright.service.http.answering import Answering, OwnDeadline, failures, unforeseen_in
from rewright.service.http.described_bodies import described_body
from rewright.service.http.request_body import body_of, check_candidates, check_needs, parsed_as, validated
from rewright.service.http.request_life import while_caller_waits
from rewright.service.rendezvous.agreement import Agreement, Store
from rewright.service.rendezvous.lobby import Lobby
from rewright.service.schema.flat import FlatAnswer, FlatRequest
from rewright.service.schema.member import Member, MemberAnswer

RENDEZVOUS, FLAT = "rendezvous/reward", "flat/reward"


def lobby_of(answering: Answering, store: Store | None) -> Lobby:
    """Where members meet, over the reward's own endpoint. store: what this gateway shares with others, if any."""

    async def score(group: schema.Group, rule: schema.Rule, seconds: float) -> schema.RewardAnswer:
        request = schema.ScoreRequest.model_construct(groups=[group], rule=rule)
        try:
            seconds = min(seconds, answering.settings.longest_s)
            answer: Any = await answering.scored(answering.endpoints.of_reward, request, seconds)
        except RewrightError:
            raise
        except Exception as error:
            raise unforeseen_in(RENDEZVOUS, error) from None
        answering.metrics.note_groups(RENDEZVOUS, answer.groups)
        return answer  # type: ignore[no-any-return]

    block = answering.settings.rendezvous
    return Lobby(
        score,
        answering.admission,
        deadline_s=block.deadline_s,
        most_members=block.members,
        remembered=block.remembered,
        remember_s=block.remember_s,
        agreement=Agreement(store, kept_s=block.remember_s) if store is not None else None,
    )


def member_routes(answering: Answering, lobby: Lobby, authorised: Callable[..., Awaitable[None]]) -> APIRouter:
    """POST /v1/rendezvous/reward and POST /v1/flat/reward."""
    router = APIRouter(prefix="/v1", tags=["scoring"], dependencies=[Depends(authorised)])

    async def member_answer(request: Request, seconds: float) -> Response:
        due = time.monotonic() + seconds
        # While the process ends, who was in a settled group is still told.
        async with body_of(request, answering.admission, answering.settings.limits, due) as body:
            member = await parsed_as(Member, body, answering.settings.limits)
        check_candidates(member.size, answering.settings.limits)
        asked = schema.ScoreRequest.model_construct(groups=[_alone(member)], rule=member.rule)
        check_needs(asked.groups, answering.endpoints.needs_of_reward(asked), RENDEZVOUS)
        answer = await while_caller_waits(request, lobby.join(member), due - time.monotonic())
        return Response(answer.__pydantic_serializer__.to_json(answer), media_type="application/json")

    @router.post(
        f"/{RENDEZVOUS}",
        operation_id="rendezvous_reward",
        summary="The reward of one member of a group, answered when the group is whole",
        response_model=MemberAnswer,
        responses=error_responses.SCORING_ERRORS,
        openapi_extra=described_body("Member"),
    )
    async def rendezvous(request: Request, x_deadline_ms: OwnDeadline = None) -> Response:
        run = partial(member_answer, request, answering.seconds(x_deadline_ms))
        return await answering.guarded(request, RENDEZVOUS, run)

    async def flat_answer(
        request: Request, seconds: float, *, columns: dict[str, str], size: int | None, rule: schema.Rule
    ) -> Response:
        due = time.monotonic() + seconds
        endpoint = answering.endpoints.of_reward
        async with answering.body(request, FLAT, due=due) as body:
            flat = await parsed_as(FlatRequest, body, answering.settings.limits)
            try:
                groups, rows = flat.groups(columns, size)
            except ValueError as error:
                raise InvalidRequest(str(error)) from None
            asked = schema.ScoreRequest.model_construct(groups=groups, rule=rule)
            left = due - time.monotonic()
            answer: Any = await while_caller_waits(request, answering.scored(endpoint, asked, left), left)
        answering.metrics.note_groups(FLAT, answer.groups)
        if codes := failures(answer.groups):
            listed = ", ".join(f"{code} {codes.count(code)} times" for code in sorted(set(codes)))
            raise ScorerUnavailable(
                f"{len(codes)} of {len(flat.completions)} completions could not be scored ({listed}), and this answer "
                "has room for numbers alone; send the batch again"
            )
        rewards = [math.nan] * len(flat.completions)
        for places, group in zip(rows, answer.groups, strict=True):
            for place, item in zip(places, group.candidates, strict=True):
                rewards[place] = item.total
        told = FlatAnswer(rewards=rewards)
        return Response(told.model_dump_json(), media_type="application/json")

    @router.post(
        f"/{FLAT}",
        operation_id="flat_reward",
        summary="Rewards of a flat batch, all of them finite numbers; groups are found by prompt and columns",
        response_model=FlatAnswer,
        responses=error_responses.SCORING_ERRORS,
        openapi_extra=described_body("FlatRequest"),
    )
    async def flat(
        request: Request,
        *,
        problem: Annotated[str, Query(description="The column of `context` that holds the problem.")] = "problem",
        reference: Annotated[str, Query(description="The column of the expert solution.")] = "reference",
        answer: Annotated[str, Query(description="The column of the gold final answer.")] = "answer",
        size: Annotated[int | None, Query(ge=1, description="K; absent: all rows of one key are one group.")] = None,
        rule: Annotated[str | None, Query(description="The rule of `/v1/reward`, as JSON.")] = None,
        x_deadline_ms: OwnDeadline = None,
    ) -> Response:
        columns = {"problem": problem, "reference": reference, "answer": answer}
        seconds = answering.seconds(x_deadline_ms)

        async def run() -> Response:
            return await flat_answer(request, seconds, columns=columns, size=size, rule=rule_of(rule))

        return await answering.guarded(request, FLAT, run)

    return router


def sample_schema(answering: Answering, rule: schema.Rule) -> dict[str, Any]:
    """JSON schema of one sample (row of a data set) that the reward by this rule can be computed for.

    Raises `InvalidRequest` where the rule weighs what is no scorer here.
    """
    needs = answering.endpoints.needs_of_reward(schema.ScoreRequest.model_construct(groups=[], rule=rule))
    fields = {name: {"type": "string"} for name in ("problem", "reference")} | {"answer": {"type": ["string", "null"]}}
    either = [need.split("|") for need in needs if "|" in need]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": fields,
        "required": [need for need in needs if "|" not in need],
        **({"allOf": [{"anyOf": [{"required": [name]} for name in names]} for names in either]} if either else {}),
    }


def _alone(member: Member) -> schema.Group:
    return schema.Group(
        id=member.group,
        problem=member.problem,
        reference=member.reference,
        answer=member.answer,
        candidates=[member.candidate],
    )


def rule_of(text: str | None) -> schema.Rule:
    """A rule out of a query, the defaults where there is none. Raises `InvalidRequest`."""
    try:
        asked = from_json(text) if text is not None else {}
    except ValueError as error:
        raise InvalidRequest(f"rule: not valid JSON: {error}") from None
    return validated(schema.Rule, asked, "rule")

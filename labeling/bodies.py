"""What a browser may send: one model for each POST. Anything else is refused before a route sees it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from labeling.labelers import EVERYBODY, Role
from reward_service.comparisons import Answer
from reward_service.keys import ID

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]

ClipId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
QueryId = ClipId
"""In an address as in a body."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)  # true is not 1, and "3" is not 3


class JoinBody(_Body):
    """join_id: made by the browser, which sends the same again where it got no reply."""

    join_id: Id | None = None
    invite: Id


class EndBody(_Body):
    """Whose session ends its cookie says."""


class ClaimBody(_Body):
    token: Id


class Evidence(_Body):
    """How an answer was given; kept with it, never judged here. waited_s: in the browser, until it was sent."""

    response_s: Annotated[float, Field(ge=0, le=86_400)]
    plays: Annotated[int, Field(ge=0, le=100_000)] = 0
    focus_lost: Annotated[int, Field(ge=0, le=100_000)] = 0
    input: Annotated[str, Field(pattern=r"^[a-z]{1,16}$")] = "key"
    waited_s: Annotated[float, Field(ge=0, le=604_800)] = 0.0


class AnswerBody(_Body):
    label_id: Id
    token: Id
    query: QueryId
    answer: Annotated[Answer, Field(strict=False)]  # JSON has no enumerations: its name is what there is
    evidence: Evidence


class RetractBody(_Body):
    retraction_id: Id
    label_id: Id


class HeartbeatBody(_Body):
    tokens: Annotated[list[Id], Field(max_length=8)]


class WithdrawBody(_Body):
    token: Id
    reason: Annotated[str, Field(max_length=500)] = ""


class PauseBody(_Body):
    """labeler: one of them, or `*` for everybody."""

    labeler: Annotated[str, Field(pattern=rf"^({re.escape(EVERYBODY)}|{ID.pattern})$")]
    paused: bool


class GoldBody(_Body):
    """query: one that the admin who marks it has answered."""

    query: QueryId
    marked: bool = True


class RevokeBody(_Body):
    labeler: Annotated[str, Field(pattern=rf"^{ID.pattern}$")]


class InviteBody(_Body):
    """labeler: whose answers they will be; "" makes a new name."""

    role: Annotated[Role, Field(strict=False)] = Role.LABELER
    labeler: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,32}$")] = ""

"""Sessions: who a request comes from, and what that person may do. Routes ask for it as a dependency.

    def claim(body: ClaimBody, labeler: str = Depends(sessions.labeler)) -> ...
    def revoke(body: RevokeBody, admin: str = Depends(sessions.admin)) -> ...

Who comes without a session, or with one that is over, is the local person, labeler and admin in one. That is for the
loopback address alone: where only invited people get in there is no such person. Nor is one who was revoked.

A page outlives what it was loaded for: the next run takes the same port, and another person's invite replaces the
cookie of all tabs. So a page says in the header SCOPE for whom it was loaded, and what is not meant for here is refused
before anything happens. Who does not send it, as scripts, is taken as before.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from labeling.bodies import EndBody, JoinBody
from labeling.labelers import ABSOLUTE_S, LOCAL_LABELER, InviteError, LabelerPool, Person, Role
from labeling.together import Together

SCOPE = "x-twoclips-scope"
"""`<run> <labeler>`: for whom a page was loaded."""
_LOCAL = Person(LOCAL_LABELER, Role.ADMIN)
_PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
_ASKED_BY_PAGES = {
    *("/api/claims", "/api/strips/{query}/{digest}", "/api/withdrawals", "/api/events"),
    *("/api/history", "/api/gallery", "/api/clips/{clip_id}", "/api/belief", "/api/admin/overview"),
}
"""Routes that an open page asks again and again, whether or not somebody sits before it: a session is idle all the
same."""


class NotInvitedError(RuntimeError):
    """The request comes without a session that counts."""


class MisdirectedError(RuntimeError):
    """The request comes from a page that was loaded for another run, or another labeler. (HTTP: 421.)"""


class NotAdminError(RuntimeError):
    """The request is an admin's to make, and comes from a labeler."""


def cookie_name(run_id: str) -> str:
    """Each run has its own: a browser sends the cookies of one port of a host to all others."""
    return f"twoclips_{hashlib.blake2b(run_id.encode(), digest_size=8).hexdigest()}"


class Sessions:
    """The sessions of one run. `invited_only`: without one nobody gets in."""

    def __init__(self, pool: LabelerPool, run_id: str, invited_only: bool) -> None:
        self.pool = pool
        self._run_id = run_id
        self._cookie = cookie_name(run_id)
        self._invited_only = invited_only
        self._known = Together(pool.whois_all)

    async def person(self, request: Request) -> Person:
        """Raises NotInvitedError. A request that a proxy passed on is not the local person's."""
        token = request.cookies.get(self._cookie)
        has_acted = request.scope["route"].path not in _ASKED_BY_PAGES
        found = await self._known((token, has_acted)) if token else None
        if found is not None:
            return found
        is_ours = not self._invited_only and not any(name in request.headers for name in _PASSED_ON)
        if is_ours and not (token and await run_in_threadpool(self.pool.has_session, token)):
            return _LOCAL
        raise NotInvitedError("you are not signed in, or your session has ended: open your invite link")

    async def labeler(self, request: Request) -> str:
        """The name under which this person's answers are kept. Raises NotInvitedError and MisdirectedError."""
        return (await self._addressed(request)).labeler

    async def _addressed(self, request: Request) -> Person:
        """The person, if the page that asks was loaded for them."""
        run_id, _, labeler = request.headers.get(SCOPE, "").partition(" ")
        if run_id and run_id != self._run_id:
            raise MisdirectedError("this page was loaded for another run than is served here now: reload it")
        person = await self.person(request)
        if labeler and labeler != person.labeler:
            raise MisdirectedError("this page was loaded for another labeler than is signed in now: reload it")
        return person

    async def _not_misdirected(self, request: Request) -> None:
        """Whoever it is, or was: who was revoked signs out as well. Raises MisdirectedError."""
        with suppress(NotInvitedError):
            await self._addressed(request)

    async def admin(self, request: Request) -> str:
        """The admin's name. Raises NotInvitedError, MisdirectedError and NotAdminError."""
        person = await self._addressed(request)
        if person.role is not Role.ADMIN:
            raise NotAdminError("this is for admins only: ask for an admin's invite")
        return person.labeler

    def add_joining(self, app: FastAPI) -> None:
        """The way in: an invite, once, for a session; sent again under the same id it is the same session. And the way
        out."""

        @app.post("/api/sessions")
        def join(body: JoinBody, request: Request, response: Response) -> dict[str, Any]:
            token = self.pool.join(body.invite, body.join_id or "")
            person = self.pool.whois(token)
            if person is None:  # the cookie would shut this browser out, and take the place of one that counts
                raise InviteError("this invite's labeler was revoked: ask for an invite under another name")
            is_tls = request.url.scheme == "https"  # as a proxy before us says, where uvicorn trusts it
            age_s = int(ABSOLUTE_S)
            response.set_cookie(self._cookie, token, age_s, httponly=True, samesite="strict", secure=is_tls)
            return {"labeler": person.labeler, "role": person.role}

        @app.post("/api/sessions/end", dependencies=[Depends(self._not_misdirected)])
        def end(_: EndBody, request: Request, response: Response) -> dict[str, Any]:
            self.pool.end(request.cookies.get(self._cookie, ""))
            response.delete_cookie(self._cookie, httponly=True, samesite="strict")
            return {"ended": self._cookie in request.cookies}

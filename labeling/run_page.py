"""The API of the run page: the curve of a run, for everybody; clips and what the reward model makes of them, for admins
alone, since a labeler who has seen that would answer as the model does."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from actors.tasks import Task
from labeling.belief import Belief
from labeling.bodies import ClipId
from labeling.gallery import Gallery
from labeling.history import History
from labeling.sessions import Sessions
from labeling.show import Show
from reward_service.database import ComparisonDatabase


class ClipGoneError(RuntimeError):
    """No such clip is stored, or it cannot be drawn."""


def add_run_page(app: FastAPI, sessions: Sessions, task: Task, database: ComparisonDatabase, show: Show) -> None:
    """Adds the routes; all of them only tell."""
    history, gallery = History(database.client, database.run_id), Gallery(database)
    belief = Belief(task, database, gallery)

    @app.exception_handler(ClipGoneError)
    def gone(_: Request, error: ClipGoneError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 404)

    @app.get("/api/history", dependencies=[Depends(sessions.labeler)])
    def read_history() -> dict[str, Any]:
        return history.columns()

    @app.get("/api/gallery", dependencies=[Depends(sessions.admin)])
    def read_gallery() -> dict[str, Any]:
        return gallery.newest()

    @app.get("/api/belief", dependencies=[Depends(sessions.admin)])
    def read_belief() -> dict[str, Any]:
        return {"has_plane": belief.has_plane, "plane": belief.newest()}

    @app.get("/api/clips/{clip_id}", dependencies=[Depends(sessions.admin)])
    def read_clip(clip_id: ClipId) -> dict[str, Any]:
        clip = database.clips.one(clip_id)
        if clip is None:
            raise ClipGoneError("this clip is not stored any more: look at the newest ones")
        try:
            return show.clip(clip)
        except ValueError as error:
            raise ClipGoneError("this clip cannot be drawn: look at others") from error

"""`twoclips label`: what it says of a run whose pages it serves."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import psutil
import pytest

from cluster.label import serve_labeling
from cluster.run_folder import RunFolder


@pytest.mark.redis
@pytest.mark.parametrize("at_work", [True, False])
def test_a_run_is_at_work_where_its_process_is_not_where_its_redis_answers(
    finished_run: RunFolder, tmp_path: Path, redis_url: str, at_work: bool
) -> None:
    folder = RunFolder.create(tmp_path / "run", dataclasses.replace(finished_run.config, redis=redis_url))
    if at_work:
        told = {"state": "running", "process_id": os.getpid(), "process_started_s": psutil.Process().create_time()}
        (folder.path / "status.json").write_text(json.dumps({**told, "updated_at_s": time.time()}))
    with serve_labeling(folder, 0) as served:
        assert served.is_ours
        assert ("not at work" in served.explanation) is not at_work

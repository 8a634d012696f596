"""Comparisons out of a run and into one: export writes its whole log to a file, import reads such a file.

What an import cannot keep is where in the old log a row stood, how its query was chosen, how its clips are played
again, and their late returns, by which the short-sighted judge.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from actors.frames import kept_shape, stack_depth
from actors.tasks import Task
from cluster.comparison_file import FORMATS, read_rows, write_rows
from cluster.config import ConfigError, RunConfig
from cluster.redis_server import redis_of
from cluster.run_folder import RunFolder, RunFolderError, run_identity
from reward_service.address import REDIS_VARIABLE
from reward_service.comparison_rows import ComparisonsError, rows_of
from reward_service.comparisons import Label
from reward_service.database import START, ComparisonDatabase


@contextmanager
def open_database(path: Path, config_redis: str = "") -> Generator[ComparisonDatabase]:
    """The comparisons of the run in `path`, whether it runs (its server is asked) or not (a server of our own reads
    the folder, and is stopped again). Raises RedisServerError, DatabaseError."""
    with redis_of(path, config_redis) as (_, client):
        yield ComparisonDatabase(client, run_identity(path))


def export_run(folder: RunFolder, out: Path | None = None, form: str = "") -> tuple[Path, int, int]:
    """Write all comparisons of a run, by default to <run>/comparisons.jsonl; the file, its number of rows, and how many
    of the log are not among them since their clips are gone, or cannot be read (see `rows_of`)."""
    if not folder.config.uses_labels:
        raise ComparisonsError(f"{folder.path} learned from the true reward and has no comparisons; export another run")
    form = form or ("parquet" if out is not None and out.suffix == ".parquet" else "jsonl")
    if form not in FORMATS:
        raise ConfigError(f"--format must be {' or '.join(FORMATS)}, got {form!r}")
    out = out or folder.path / f"comparisons.{form}"
    with open_database(folder.path, folder.config.redis) as database:
        if not database.labels_since(START, 1)[0]:
            raise ComparisonsError(f"{folder.path} has no comparisons yet; export it when somebody has answered")
        gone: list[Label] = []
        count = write_rows(out, form, rows_of(database, gone.append))
    return out, count, len(gone)


def import_file(file: Path, path: Path, config_redis: str = "") -> int:
    """Read a file into the run in `path`: a new one that `twoclips train TASK --run PATH` then starts on, in the
    Redis that it will take, or one that exists. Repeating it changes nothing. Returns how many rows were new."""
    if (path / "config.toml").exists():
        config = RunFolder.open(path).config
        config_redis = config_redis or config.redis
        check_for_run(file, config)
    elif path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; name the folder of a run, or a new one")
    else:
        config_redis = config_redis or os.environ.get(REDIS_VARIABLE, "")
        check_rows(file)
    with open_database(path, config_redis) as database:
        return import_comparisons(file, database)


def import_comparisons(file: Path, database: ComparisonDatabase) -> int:
    """Read a file that has been checked into a database; the number of new rows. For `train --comparisons FILE`: before
    the components are built."""
    return sum(database.import_comparison(row.left, row.right, row.label, row.gold) for row in read_rows(file))


def check_for_run(file: Path, config: RunConfig) -> None:
    """Raises ConfigError for a run that takes no comparisons, and ComparisonsError as `check_rows` does."""
    if not config.uses_labels:
        raise ConfigError(
            "a run with --labeler none learns from the true reward, not from comparisons; leave the file out, or start "
            "a run with another labeler"
        )
    check_rows(file, config.make_task())


def check_rows(file: Path, task: Task | None = None) -> None:
    """Raises ComparisonsError for a damaged file, one without rows, and one whose clips do not fit the task or one
    another, or hold values that are not finite."""
    expected = None
    if task is not None:
        steps = task.preset.clip_steps
        kept = steps + stack_depth(task.observation_shape) - 1
        expected = ((kept, *kept_shape(task.observation_shape)), (steps, *task.action.shape))
    for row in read_rows(file):
        for clip in (row.left, row.right):
            shapes = (clip.segment.observations.shape, clip.segment.actions.shape)
            expected = expected or shapes
            if shapes != expected:
                raise ComparisonsError(
                    f"a clip of label {row.label.label_id} in {file} has observations and actions of shapes "
                    f"{shapes[0]} and {shapes[1]}, where {expected[0]} and {expected[1]} are expected; use "
                    "comparisons of the same task, and the same --clip-steps"
                )
            if not clip.segment.is_finite:
                raise ComparisonsError(
                    f"clip {clip.clip_id} of label {row.label.label_id} in {file} holds values that are not finite, "
                    "from which nothing can be learned; take the rows of that clip out of the file"
                )
    if expected is None:
        raise ComparisonsError(f"{file} holds no comparisons; export them from a run that has some")

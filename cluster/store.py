"""RunStore: a copy of a run's folder on storage that outlives the machine: any file system that pyarrow reaches (a
shared folder, S3, GCS).

    store = RunStore("s3://bucket/runs/half-cheetah-s1", "half-cheetah-s1-1a2b3c4d")
    store.push(folder)     # what has changed; whole or not at all
    store.pull(folder)     # into an empty folder, on another machine

A file is stored under its digest, and `manifest.json`, written last, says which files there are: whoever reads finds
the state of one push, however the next one was cut short. Left out are what only means something here (status, the
sockets and the server of the pages) and the private Redis: a run whose machine may be lost keeps its labels in a Redis
of its own (--redis), which is what the run says when it starts.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pyarrow import ArrowException
from pyarrow import fs as arrow_fs

from actors.failures import Failure
from cluster.errors import first_line
from cluster.run_folder import RunFolder
from cluster.writing import writing

FORMAT, VERSION = "twoclips run", 1
_LEFT_OUT = {"redis", "labeling", "status.json", "lock", "keeper"}
_CHECKPOINT = re.compile(r"checkpoints/checkpoint-(\d+)-")
_CREDENTIALS = "take the credentials from the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, ...)"


class StoreError(Failure, RuntimeError):
    """The storage cannot be used as asked."""


def check_store(uri: str) -> tuple[Any, str]:
    """The file system at that address, and the path there. Raises StoreError for an address that no run may have,
    before anything is begun."""
    if urlsplit(uri).password is not None or "secret_key" in uri:
        raise StoreError(f"the address of a store is written to config.toml and may hold no secret: {_CREDENTIALS}")
    return _file_system(uri)


class RunStore:
    """One run's place, at `uri`. Not safe to share between threads: see Mirror."""

    def __init__(self, uri: str, run_id: str = "") -> None:
        """`run_id`: whose it is; without it, it can only be read."""
        self.uri, self._run_id = uri, run_id
        self._fs, self._root = check_store(uri)
        self._is_clean = False  # nothing is known to lie there that belongs to no push

    def push(self, folder: Path) -> int:
        """Stores what has changed; how many files that were. Raises StoreError, and what was stored before is whole:
        also where that is further than the folder, since the run went on elsewhere while this machine was away."""
        with _named(self.uri):
            before = self._manifest()
            if before and before["run_id"] != self._run_id:
                raise StoreError(f"{self.uri} holds another run ({before['run_id']}); name another --run or --store")
            here = _reached(path.relative_to(folder).as_posix() for path in folder.glob("checkpoints/*.pt"))
            if before and (stored := _reached(before["files"])) > here:
                raise StoreError(
                    f"{self.uri} holds a later state of this run, {stored:,} agent steps, than {folder}, {here:,}; "
                    "move that folder away and --resume with --store pulls the later one, or name another --store"
                )
            known = set(before["files"].values()) if before else set[str]()
            was_clean, self._is_clean = self._is_clean, False
            files: dict[str, str] = {}
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder)
                if name.parts[0] in _LEFT_OUT or path.suffix == ".tmp" or (contents := _contents(path)) is None:
                    continue
                files[name.as_posix()] = digest = hashlib.sha256(contents).hexdigest()
                if digest not in known:
                    self._write(f"files/{digest}", contents)
            if before and files == before["files"]:
                self._is_clean = was_clean
                return 0
            manifest = {"format": FORMAT, "version": VERSION, "run_id": self._run_id, "files": files}
            self._write("manifest.json", json.dumps(manifest, indent=1).encode())
            for name in (known if was_clean else self._stored()) - set(files.values()):
                self._fs.delete_file(f"{self._root}/files/{name}")
            self._is_clean = True
            return len(set(files.values()) - known)

    def pull(self, folder: Path) -> int:
        """Writes the files of the last whole push; how many. Raises StoreError where there are none, or one is not
        what was stored; nothing is written then."""
        with _named(self.uri):
            manifest = self._manifest()
            if manifest is None:
                raise StoreError(f"{self.uri} holds no run; name the store and the --run that it was trained with")
            found: dict[str, bytes] = {}
            for name, digest in manifest["files"].items():
                found[name] = contents = self._read(f"files/{digest}")
                if (
                    hashlib.sha256(contents).hexdigest() != digest
                    or ".." in Path(name).parts
                    or Path(name).is_absolute()
                ):
                    raise StoreError(f"{self.uri} is damaged at {name}: restore it from a backup, or start anew")
        # config.toml last: without it there is no run, and the next --resume pulls again
        for name, contents in sorted(found.items(), key=lambda each: each[0] == "config.toml"):
            path = folder / name
            with writing(path, "--run"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(contents)
        return len(found)

    def _manifest(self) -> dict[str, Any] | None:
        info = self._fs.get_file_info(f"{self._root}/manifest.json")
        if info.type == arrow_fs.FileType.NotFound:
            return None
        manifest = json.loads(self._read("manifest.json"))
        if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
            raise StoreError(f"{self.uri} holds something else than a run of this twoclips; name another --store")
        return manifest

    def _stored(self) -> set[str]:
        """Names of all files that are there: those, too, of a push that was cut short."""
        return {info.base_name for info in self._fs.get_file_info(arrow_fs.FileSelector(f"{self._root}/files"))}

    def _read(self, name: str) -> bytes:
        with self._fs.open_input_stream(f"{self._root}/{name}") as stream:
            return stream.read()

    def _write(self, name: str, contents: bytes) -> None:
        """Under another name first: what a file system shows under its own is whole."""
        path = f"{self._root}/{name}"
        self._fs.create_dir(path.rpartition("/")[0], recursive=True)
        with self._fs.open_output_stream(f"{path}.tmp") as stream:
            stream.write(contents)
        self._fs.move(f"{path}.tmp", path)


class Mirror:
    """Pushes a folder in the background whenever asked, so that nobody waits for the storage. What fails is told once
    until it goes well again, and tried again at the next time of asking."""

    def __init__(self, store: RunStore, folder: Path, say: Callable[[str], None]) -> None:
        self._store, self._folder, self._say = store, folder, say
        self._asked, self._closing = threading.Event(), threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._work, name="run-store", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """There is something new."""
        self._asked.set()

    def close(self) -> None:
        """The last push; returns when it is done."""
        self._closing.set()
        self._asked.set()
        self._thread.join()

    def _work(self) -> None:
        is_last = False
        while not is_last:
            self._asked.wait()
            self._asked.clear()
            is_last = self._closing.is_set()  # before the push: what was written until then is in it
            try:
                self._store.push(self._folder)
            except StoreError as error:
                if is_last:
                    self._say(f"the run's end is not stored: {error}; it is in {self._folder}, --resume stores it")
                elif not self._is_failing:
                    self._say(f"not stored: {error}; the run goes on, and tries again at the next checkpoint")
                self._is_failing = True
            else:
                self._is_failing = False


@contextmanager
def mirrored(uri: str, folder: RunFolder, say: Callable[[str], None]) -> Generator[Callable[[], None]]:
    """Keeps a run's folder stored below `uri` until the end, and then once more; yields what to call whenever there is
    something new. Raises StoreError at once where another run is there, or a later state of this one."""
    store = RunStore(place(uri, folder.path), folder.run_id)
    store.push(folder.path)
    mirror = Mirror(store, folder.path, say)
    try:
        yield mirror.ask
    finally:
        mirror.close()


def place(uri: str, folder: Path) -> str:
    """Where the run of this folder is stored below `uri`: under the folder's name."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{folder.resolve().name}"))


def _reached(names: Iterable[str]) -> int:
    """Agent steps of the newest checkpoint among files of a run's folder; 0 without one."""
    return max((int(found[1]) for name in names if (found := _CHECKPOINT.match(name))), default=0)


def _contents(path: Path) -> bytes | None:
    """None for a folder, and for what has been dropped meanwhile, as old checkpoints are."""
    try:
        return path.read_bytes() if path.is_file() else None
    except FileNotFoundError:
        return None


@contextmanager
def _named(uri: str) -> Generator[None]:
    """Turn what a file system raises into one sentence that names it."""
    try:
        yield
    except (OSError, ArrowException, ValueError, KeyError) as error:
        raise StoreError(
            f"the store {uri} failed ({first_line(error)}); check that it is there, writable and not full, and "
            f"{_CREDENTIALS}"
        ) from error


def _file_system(uri: str) -> tuple[Any, str]:
    try:
        file_system, path = arrow_fs.FileSystem.from_uri(uri)
    except (ArrowException, ValueError, OSError) as error:
        raise StoreError(
            f"{uri!r} is no address of a file system ({first_line(error)}); write file:///shared/runs/NAME, "
            "s3://BUCKET/runs/NAME or gs://BUCKET/runs/NAME"
        ) from error
    return file_system, path.rstrip("/")

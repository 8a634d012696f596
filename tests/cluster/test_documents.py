"""What the documents say can be done: their links lead somewhere, their commands exist, their Python runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import typer

from cluster.cli import app
from cluster.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])
_COMMAND = re.compile(r"(?:^ *|run |exec |&& |=\S+ |-- )twoclips ([a-z]+)([^\n|;&#']*)", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """Of a document's headings, as GitHub makes them."""
    text = _FENCE.sub("", document.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(document: Path):
    text = _FENCE.sub("", document.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)", text, re.MULTILINE)
    named = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not link.startswith("https://") and (
            not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
        ):
            broken.append(link)
    assert broken == []
    flat = " ".join(text.split())
    assert {name for name in named if f"[{' '.join(name.split())}]" not in flat} == set(), "named and never linked"


def test_commands_and_options_exist():
    commands = typer.main.get_group(app).commands
    seen, unknown = 0, []
    for document in DOCUMENTS:
        text = document.read_text().replace("\\\n", " ")
        for name, rest in _COMMAND.findall("\n".join(code_of(text))):
            seen += 1
            command = commands.get(name)
            known = {word for each in command.params for word in each.opts} | {"--help"} if command else set()
            if command is None or not known.issuperset(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)):
                unknown.append(f"{document.name}: twoclips {name}{rest}")
    assert unknown == []
    assert seen > 100


def code_of(text: str) -> list[str]:
    """Blocks and words that are set as code."""
    blocks = [code for _, code in _FENCE.findall(text)]
    return blocks + [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", _FENCE.sub("", text))]


@pytest.mark.redis
def test_the_python_of_the_documents_runs(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished_run.path, "runs/cart-pole", ignore=shutil.ignore_patterns("*.sock"))
    shutil.copytree(finished_run.path, "runs/half-cheetah-s1-1", ignore=shutil.ignore_patterns("*.sock"))
    ran = 0
    for name in ("running.md", "python.md", "tasks.md"):
        said: dict[str, object] = {}
        for language, code in _FENCE.findall((ROOT / "docs" / name).read_text()):
            if language == "python":
                exec(compile(code, name, "exec"), said)
                ran += 1
    assert ran == 5
    assert (tmp_path / "runs" / "from-python" / "metrics.jsonl").stat().st_size > 0

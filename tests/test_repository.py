"""What the repository promises about itself: dependencies, borders between modules, set-up, README."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import start

TOP = {
    ".ci", ".gitignore", "LICENSE", "README.md", "app.py", "assets", "data", "environment.yml", "notebooks", "pyproject.toml", "stabviz",
    "start.py", "tests",
}  # fmt: skip

EXTRAS = ("cluster", "labs", "notebook", "peers", "s3", "test")
# Packages that are imported under another name, or only by a library that we call.
OTHER_NAMES = {"yaml": "pyyaml", "markdown-it": "markdown-it-py", "sklearn": "scikit-learn", "pil": "pillow"}
USED_BY_LIBRARIES = {
    "h5netcdf", "h5py", "s3fs", "pytest-timeout", "pytest-xdist",
    "pytest-benchmark", "pytest-playwright", "ruff", "moto", "hypothesis",
}  # fmt: skip


def tracked(repository: Path) -> list[Path]:
    """Files that are, or would be, committed."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in sorted(set(listed.stdout.decode().split("\0"))) if name and (path := repository / name).is_file()]


def metadata(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())


def split(requirement: str) -> tuple[str, str]:
    """Name and bound of a requirement, names in one spelling, extras left out."""
    name, bound = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?\s*(.*)", requirement).groups()
    return name.lower().replace("_", "-"), bound


def declared(repository: Path, *extras: str) -> dict[str, str]:
    project = metadata(repository)["project"]
    found = list(project["dependencies"])
    for extra in extras:
        found += project["optional-dependencies"][extra]
    return dict(split(r) for r in found if not r.startswith("stabviz["))


# Dependencies ----------------------------------------------------------------------------------------------------------------


def test_environment_says_the_same_as_pyproject(repository):
    listed = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    flat = [item for entry in listed for item in (entry["pip"] if isinstance(entry, dict) else [entry])]
    environment = dict(split(item) for item in flat)
    assert environment.pop("python") == metadata(repository)["project"]["requires-python"]
    environment.pop("pip")
    assert environment == declared(repository, *EXTRAS)


def test_every_dependency_has_a_lower_bound(repository):
    assert [name for name, bound in declared(repository, *EXTRAS, "dev").items() if not bound.startswith(">=")] == []


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, absolute dotted name, at run time) of every import of a file; `from a import b` gives a and a.b."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    typing_only = {child for guard in guards for child in ast.walk(guard)}
    package = list(path.parts[path.parts.index("stabviz") :][:-1]) if "stabviz" in path.parts[-8:] else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, node not in typing_only
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module, node not in typing_only
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}", node not in typing_only


def modules(repository: Path) -> list[Path]:
    return [path for path in tracked(repository) if path.suffix == ".py" and path.is_relative_to(repository / "stabviz")]


def foreign(paths: list[Path]) -> dict[str, str]:
    """{package: a place that imports it} of what is neither Python's own nor ours."""
    ours = {"stabviz", "start", "conftest", "app", "tests", *(path.stem for path in paths)}
    found = {}
    for path in paths:
        for line, name, _ in imports(path):
            package = name.split(".")[0]
            if package and package not in sys.stdlib_module_names and package not in ours:
                spelled = package.lower().replace("_", "-")
                found[OTHER_NAMES.get(spelled, spelled)] = f"{path.name}:{line}"
    return found


def perhaps(paths: list[Path]) -> set[str]:
    """Packages that are used where they are installed."""
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return {OTHER_NAMES.get(name, name) for text in texts for name in re.findall(r"(?:importorskip|find_spec)\(\"(\w+)[\w.]*\"", text)}


def test_what_the_package_imports_is_declared(repository):
    paths = [*modules(repository), *(p for p in [repository / "app.py"] if p.exists())]
    known = declared(repository, "cluster", "labs", "s3")
    assert {name: where for name, where in foreign(paths).items() if name not in known} == {}


def test_what_the_tests_import_is_declared(repository):
    paths = [path for path in tracked(repository) if path.suffix == ".py" and path.is_relative_to(repository / "tests")]
    known = declared(repository, *EXTRAS)
    assert {name: where for name, where in foreign(paths).items() if name not in known} == {}


def test_what_is_declared_is_used(repository):
    python = [path for path in tracked(repository) if path.suffix == ".py"]
    assert set(declared(repository, *EXTRAS)) - set(foreign(python)) - perhaps(python) - USED_BY_LIBRARIES == set()


# Borders ---------------------------------------------------------------------------------------------------------------------

# Each module imports from its own row and from those below it only; app, report and cli are above all.
LAYERS = (
    {"app", "report"},
    {"labs"},
    {"verification"},
    {"lab", "reproduce", "citing", "own", "generic_views", "listing", "comparing"},
    {"instruments", "systems"},
    {"studies", "refining", "study_run", "remote", "table", "run", "scheduler", "store", "keeping", "limits"},
    {"job", "batch", "carry_out", "simulation", "simulate", "record", "engine", "acts", "cache", "chunks", "devices", "memory"},
    {"plan"},
    {"system"},
    {"boundary", "control", "names", "numerics", "colors", "view", "drawing", "scoreboard"},
)
EVERYWHERE = {"__init__", "__main__", "cli"}


def rank(module: str) -> int | None:
    """Height of `stabviz.X...`; None for what may import everything."""
    part = module.split(".")[1] if "." in module else "__init__"
    if part in EVERYWHERE:
        return None
    for height, row in enumerate(reversed(LAYERS)):
        if part in row:
            return height
    raise AssertionError(f"stabviz/{part} stands in no row of LAYERS: say in tests/test_repository.py what it may import")


def dotted(repository: Path, path: Path) -> str:
    return ".".join(path.relative_to(repository).with_suffix("").parts)


def test_imports_run_one_way(repository):
    wrong = []
    for path in modules(repository):
        own = rank(dotted(repository, path))
        for line, name, at_run_time in imports(path):
            parts = name.split(".")
            if own is None or not at_run_time or parts[0] != "stabviz" or len(parts) < 2:
                continue
            target = repository / "stabviz" / parts[1]
            if not (target.is_dir() or target.with_suffix(".py").exists()):
                continue  # a name that stabviz/__init__ offers: seen by its own module
            height = rank(name)
            if height is not None and height > own and (parts[1], path.parent.name) != ("app", "stabviz"):
                wrong.append(f"{path.relative_to(repository)}:{line} imports {name}")
    assert wrong == []


def test_only_pages_know_panel_and_only_views_know_holoviews(repository):
    wrong = []
    for path in modules(repository):
        inside = path.relative_to(repository / "stabviz").parts
        pages = inside[0] in ("app", "report")
        for line, name, _ in imports(path):
            top = name.split(".")[0]
            if top in ("panel", "panel_material_ui") and not pages:
                wrong.append(f"{path.relative_to(repository)}:{line} imports {name}")
            draws = pages or path.name.endswith(("views.py", "drawing.py")) or inside == ("lab.py",)  # makes the backend ready for views
            if top in ("holoviews", "bokeh") and not draws:
                wrong.append(f"{path.relative_to(repository)}:{line} imports {name}")
    assert wrong == []


def test_no_lab_imports_another(repository):
    wrong = []
    for path in modules(repository):
        home = path.relative_to(repository / "stabviz").parts
        if home[0] != "labs" or len(home) < 4:
            continue
        for line, name, _ in imports(path):
            parts = name.split(".")
            if parts[:2] == ["stabviz", "labs"] and len(parts) > 3 and tuple(parts[2:4]) != home[1:3]:
                wrong.append(f"{path.relative_to(repository)}:{line} imports {name}")
    assert wrong == []


# Files -----------------------------------------------------------------------------------------------------------------------


def test_the_top_level_is_what_the_readme_says(repository):
    assert {path.relative_to(repository).parts[0] for path in tracked(repository)} - TOP == set()


def test_no_file_names_a_machine_or_a_registry(repository):
    # written in pieces, so that this file does not hold them
    hosts = [rf"{name}\.org" for name in ("pypi", "pythonhosted", "npmjs", "anaconda", "debian")]
    homes = [f"(?<![\\w.])/{folder}/" for folder in ("root", "work")] + [f"/{folder}/[a-z]\\w*/" for folder in ("home", "Users")]
    pattern = re.compile("|".join(hosts + homes))
    found = []
    for path in tracked(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path.name != Path(__file__).name:
            found += [f"{path.relative_to(repository)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []


def test_nothing_in_the_package_is_left_out_of_a_build(repository):
    """A build leaves out what git ignores; in stabviz/ that may only be what tools make for themselves."""
    listed = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "--others", "--ignored", "--exclude-standard", "stabviz"],
        capture_output=True,
        text=True,
    )
    assert [name for name in listed.stdout.split("\n") if name and "cache" not in name] == []


def test_the_code_is_clean(repository):
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed")
    done = subprocess.run([ruff, "check", "--output-format", "concise", "--no-cache", str(repository)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# Set-up ----------------------------------------------------------------------------------------------------------------------


def run_start(*arguments: str, before: str = "", **environment: str) -> subprocess.CompletedProcess:
    """start.py in a process of its own, with `before` done first."""
    code = f"import runpy, sys; sys.argv = ['start.py', *{arguments!r}]; {before or 'pass'}"
    code += f"; runpy.run_path({start.__file__!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": "", **environment}, timeout=60)


def test_help_names_both_commands():
    done = run_start("--help")
    assert done.returncode == 0
    assert "python3 start.py test" in done.stdout


def test_a_missing_venv_module_is_one_sentence():
    done = run_start("test", before="sys.modules['ensurepip'] = None")
    assert done.returncode == 1
    assert re.fullmatch(r"Python's venv module is missing: install it .*, then start again\.\n", done.stderr)


def test_an_old_python_is_one_sentence():
    done = run_start("test", before="sys.version_info = (3, 9, 2)")
    assert done.returncode == 1
    assert re.fullmatch(r"stabviz needs Python 3\.11 or newer; this is \S+ \(.*\)\.\n", done.stderr)


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(start, "VENV", str(tmp_path / "file" / ".venv"))
    monkeypatch.setattr(start, "STAMP", str(tmp_path / "file" / ".venv" / "stabviz.json"))
    with pytest.raises(SystemExit, match=r"could not make .*writable"):
        start.install("")


def test_set_up_is_done_again_when_what_it_depends_on_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "ROOT", str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("one")
    first = start.fingerprint()
    assert start.fingerprint() == first
    (tmp_path / "pyproject.toml").write_text("two")
    assert start.fingerprint() != first


def test_a_set_up_that_is_current_starts_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "STAMP", str(tmp_path / "stamp"))
    monkeypatch.setattr(start, "venv_python", lambda: sys.executable)
    start.write_stamp(fingerprint=start.fingerprint(), root=start.ROOT, extras=["", "test"])
    monkeypatch.setattr(start.subprocess, "call", lambda *_, **__: 0)  # `pip --version` answers
    monkeypatch.setattr(start.subprocess, "check_call", lambda *_, **__: pytest.fail("made anew"))
    start.install("test")
    start.install("")


@pytest.mark.parametrize(
    ("user", "brings", "asked"), [(0, "apt-get", "apt-get"), (0, "nothing", "playwright"), (1000, "apt-get", "playwright")]
)
def test_a_browser_is_looked_for_where_this_user_may(tmp_path, monkeypatch, user, brings, asked):
    commands = []
    monkeypatch.setattr(start, "VENV", str(tmp_path))
    monkeypatch.setattr(start, "STAMP", str(tmp_path / "stamp"))
    monkeypatch.setattr(start.os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(start.shutil, "which", lambda name: "/bin/" + name if name == "apt-get" else None)
    monkeypatch.setattr(start, "tried", lambda command, **_: bool(commands.append(command)))
    monkeypatch.setattr(start, "find_browser", lambda: "/bin/chromium" if commands and commands[-1][0] == brings else None)
    start.provide_browser()
    start.provide_browser()  # tried once, whatever came of it
    assert asked in commands[-1]
    assert sum(asked in command for command in commands) == (2 if asked == "apt-get" else 1)


def test_an_end_from_outside_is_told(monkeypatch, capsys):
    monkeypatch.setattr(start, "test", lambda arguments: [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert start.main(["test"]) == 137
    assert "signal 9" in capsys.readouterr().err


def test_continuous_integration_runs_the_test_command(repository):
    path = repository / ".ci" / "run"
    assert os.access(path, os.X_OK)
    assert "start.py test" in path.read_text()


# README ----------------------------------------------------------------------------------------------------------------------


def blocks(repository: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (repository / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_commands_in_the_readme_exist(repository):
    from stabviz.cli import _parser

    commands = next(action for action in _parser([])._actions if action.choices).choices
    for line in "".join(blocks(repository, "sh")).splitlines():
        word, *rest = line.split()
        if word == "stabviz":
            assert rest[0] in commands, line
        else:
            assert word == "python3", line
            assert (repository / rest[0]).exists(), line


def test_the_files_in_the_readme_exist(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (repository / name).exists(), name


@pytest.mark.claims
def test_the_examples_run_one_after_the_other(repository, store_url):
    example = "\n".join(code for code in blocks(repository, "python") if not code.startswith("# my_labs/"))
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=repository, timeout=170)
    assert done.returncode == 0, done.stderr


def test_the_lab_in_the_readme_is_a_lab(repository, tmp_path, monkeypatch, store_url):
    from stabviz.scheduler import Scheduler

    files = [code for code in blocks(repository, "python") if code.startswith("# my_labs/")]
    for code in files:
        path = tmp_path / code.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    entry = tomllib.loads(blocks(repository, "toml")[0])["project"]["entry-points"]["stabviz.labs"]
    package, _, name = entry["logistic"].partition(":")
    lab = getattr(importlib.import_module(package), name)
    scheduler = Scheduler(workers=1)
    try:
        run = lab.run("settles", scheduler=scheduler).wait(60)
        assert run.status == "finished"
        ((claim, verdict),) = run.claims()
        assert (claim.slug, verdict.holds) == ("settles", True)
        assert "at step 200" in lab.views[0].sentence(run.dataset)
        assert len(lab.views[0].draw(run.dataset)) == run.dataset.sizes["step"]
        ((_, verdict),) = lab.run("chaos", scheduler=scheduler).wait(60).claims()
        assert verdict.holds is None
        assert json.loads(run.dataset.attrs["controls"]) == {"r": 2.8}
    finally:
        scheduler.close()
        for module in [m for m in sys.modules if m.split(".")[0] == "my_labs"]:
            del sys.modules[module]

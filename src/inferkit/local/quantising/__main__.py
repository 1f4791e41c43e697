"""The job that writes one packed file; see `inferkit.local.jobs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.local.errors import EngineUnavailable
from inferkit.local.gguf.container import read_container
from inferkit.local.jobs import serve_job
from inferkit.local.quantising.file import layout, write_packed
from inferkit.local.quantising.kernels import open_kernels
from inferkit.local.quantising.recipes import assign, recipe

if TYPE_CHECKING:
    from inferkit.local.jobs import Report


def pack(settings: dict[str, Any], report: Report) -> dict[str, Any]:
    """Do what `settings` says: pack `source` as `kind` into `target`, with so many `threads`."""
    source = Path(settings["source"])
    container = read_container(source)
    kind = recipe(settings["kind"])
    plan = layout(container, assign(container, kind), kind.number)
    try:
        write_packed(
            source,
            container,
            Path(settings["target"]),
            plan,
            kernels=open_kernels(),
            threads=settings["threads"],
            progress=lambda done: report({"done": done}),
        )
    except OSError as error:
        raise EngineUnavailable(
            f"the file cannot be written ({error.strerror}); make room, or name another folder"
        ) from error
    return {"size": plan.size}


if __name__ == "__main__":
    serve_job(pack)

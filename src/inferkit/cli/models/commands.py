"""The commands of `inferkit models`, with their options. What each does stands in a module beside this one."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

commands = typer.Typer(
    help="Models: those that are configured, and local ones: find them, look into them, make them smaller.",
    no_args_is_help=True,
)

_Model = Annotated[
    str, typer.Argument(help="A GGUF file, local:PACKAGE for an installed package's, hf:... for one fetched, or local.")
]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@commands.callback()
def _root() -> None:
    """Give the name that stands before a command."""


@commands.command()
def inspect(
    model: _Model,
    *,
    engine: Annotated[str | None, typer.Option(help="Ask for this engine, and not for the one that fits.")] = None,
    json: _Json = False,
) -> None:
    """Say what a model file is, which engine runs it, and what it needs. Reads its head, and no weights.

    The exit status is 1 where no engine here runs it.
    """
    from inferkit.cli.models.inspecting import show_inspection

    if not show_inspection(model, engine=engine, as_json=json):
        raise typer.Exit(1)


@commands.command()
def add(
    model: Annotated[
        str, typer.Argument(help="hf:owner/repository/file.gguf@revision; without the file, what there is.")
    ],
    *,
    json: _Json = False,
) -> None:
    """Fetch a model from Hugging Face into the cache that its tools share, and verify it. Goes on where it was cut.

    A branch becomes the commit that it is now. HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE and HF_HOME count.
    """
    from inferkit.cli.models.adding import add_model

    if not add_model(model, as_json=json):
        raise typer.Exit(1)


@commands.command()
def configured(
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server whether it is there.")] = False,
    json: _Json = False,
) -> None:
    """Show the models that are configured: where they are, whether their key is there, what they cost and can do.

    No key is sent. The exit status is 1 where one of them cannot be called.
    """
    from inferkit.cli.models.configured import show_configured

    if not show_configured(offline=offline, as_json=json):
        raise typer.Exit(1)


@commands.command("list")
def list_models(
    folders: Annotated[list[str] | None, typer.Argument(help="Folders whose GGUF files count, too.")] = None,
    *,
    json: _Json = False,
) -> None:
    """Show the models on this machine: in the package, in installed packages, and from Hugging Face."""
    from inferkit.cli.models.listing import show_models

    show_models(folders or [], as_json=json)


@commands.command()
def remove(
    model: Annotated[str, typer.Argument(help="hf:owner/repository/file.gguf@commit, as `list` has it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    json: _Json = False,
) -> None:
    """Remove a model from the cache of Hugging Face's tools."""
    from inferkit.cli.models.adding import remove_model

    remove_model(model, confirmed=yes, as_json=json)


@commands.command()
def quantise(
    model: _Model,
    *,
    to: Annotated[str, typer.Option(help="The kinds to make, with commas: q8_0,q4_k_m,q4_0.")],
    folder: Annotated[str | None, typer.Option(help="Where to (default: beside the source).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    requantise: Annotated[
        bool, typer.Option("--requantise", help="Take a source that is packed already, which loses twice.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="How many threads pack (default: all cores).")] = None,
    json: _Json = False,
) -> None:
    """Make smaller files of a model in 16 or 32 bits. Each is checked and tried before it gets its name.

    Kinds: f16, bf16, q8_0, q6_k, q5_k_m, q5_1, q5_0, q4_k_m, q4_1, q4_0, iq4_nl, iq4_xs, q3_k_m.
    """
    from inferkit.cli.models.quantising import quantise_model

    quantise_model(model, to, folder=folder, force=force, requantise=requantise, threads=threads, as_json=json)


@commands.command()
def bench(
    models: Annotated[list[str], typer.Argument(help="GGUF files, or names as in `inspect`.")],
    *,
    against: Annotated[str | None, typer.Option(help="What they are compared to: the same model in 16 bits.")] = None,
    text: Annotated[str | None, typer.Option(help="A file of your own text, to measure what is lost on it.")] = None,
    tokens: Annotated[int, typer.Option(min=64, help="How many tokens of the text are read at most.")] = 2048,
    threads: Annotated[str, typer.Option(help="With how many threads: 1,2 (default: as a client).")] = "",
    batch: Annotated[str, typer.Option(help="How many tokens of a prompt at once: 32,128.")] = "128",
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of the prompt.")] = 256,
    generate: Annotated[int, typer.Option(min=1, help="Tokens of the reply.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="How often each is measured, after once for nothing.")] = 3,
    json: _Json = False,
    plot: Annotated[str | None, typer.Option(help="An SVG file to draw it into.")] = None,
) -> None:
    """Measure speed and memory of model files, and on a text of yours what smaller ones lose.

    Each is loaded in a process of its own, one after another; a quiet machine gives figures that mean something.
    """
    from inferkit.cli.models.benching import numbers_of, run_bench
    from inferkit.local.measuring.bench import SpeedPlan

    plan = SpeedPlan(
        prompt, generate, repeats, numbers_of(threads, "--threads"), numbers_of(batch, "--batch") or (128,)
    )
    run_bench(models, against=against, text=text, tokens=tokens, plan=plan, as_json=json, plot=plot)

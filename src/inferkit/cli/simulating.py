"""What `inferkit simulate` does: reads a scenario, plays it under each policy, and writes what came of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.simulation import render
from inferkit.simulation.file import read_simulation
from inferkit.simulation.plots import plots
from inferkit.simulation.policies import BUILT_IN
from inferkit.simulation.results import result_of
from inferkit.simulation.run import play
from inferkit.simulation.traffic import calls_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.simulation.scenario import Setup, Simulation

__all__ = ["Wanted", "run"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The options of the command."""

    compare: str | None = None
    calls: int | None = None
    seed: int | None = None
    as_json: bool = False
    plots: str | None = None
    ledger: str | None = None
    output: str | None = None


def run(file: str, wanted: Wanted, *, say: Callable[[str], object], write: Callable[[str], object]) -> None:
    """Do what the command does. `say` tells how far it is. Raises `ConfigurationError`."""
    scenario = _changed(read_simulation(file), wanted)
    makers = _policies(scenario, wanted.compare)
    if wanted.ledger is not None:
        if len(makers) > 1:
            raise ConfigurationError("a ledger is kept of one policy: name it with --compare")
        if Path(wanted.ledger).exists():
            raise ConfigurationError(f"{wanted.ledger} is there already; name a file that is not")
    calls = calls_of(scenario)
    results = []
    for name, make in makers.items():
        say(f"{name}: {len(calls):,} calls ...")
        results.append(result_of(play(scenario, make(), calls=calls, ledger=wanted.ledger)))
    text = (render.as_json if wanted.as_json else render.as_text)(scenario, results)
    if wanted.plots is not None:
        folder = Path(wanted.plots)
        folder.mkdir(parents=True, exist_ok=True)
        for picture, drawn in plots(scenario, results).items():
            (folder / picture).write_text(drawn, "utf-8")
    if wanted.output is None:
        write(text)
    else:
        Path(wanted.output).write_text(text + "\n", "utf-8")


def _changed(scenario: Simulation, wanted: Wanted) -> Simulation:
    if wanted.calls is not None:
        traffic = dataclasses.replace(scenario.traffic, calls=wanted.calls)
        scenario = dataclasses.replace(scenario, traffic=traffic)
    return scenario if wanted.seed is None else dataclasses.replace(scenario, seed=wanted.seed)


def _policies(scenario: Simulation, compare: str | None) -> dict[str, Callable[[], Setup]]:
    """Give what is compared: what was asked for, or all policies of the file, or the plain one."""
    known = {**BUILT_IN, **scenario.policies}
    names = list(scenario.policies) or ["plain"]
    if compare is not None:
        names = [name.strip() for name in compare.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ConfigurationError(f'there is no policy "{name}"; they are: {", ".join(known)}')
    if not names:
        raise ConfigurationError("--compare names policies: --compare naive,plain")
    return {name: known[name] for name in names}

"""The solutions of a blend as `blend.json` has them, and what they make of other predictions of the same runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from toolkit.blending.blenders import Blender
from toolkit.blending.crossfit import CrossFit
from toolkit.blending.pool import Pool
from toolkit.blending.solution import Solution, mix_parts, run_shares, whole
from toolkit.blending.valued import spans_of_one
from toolkit.competition import Competition
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.probabilities import Mix, probabilities

FINAL = "final"  # the solution that is handed in, beside those of the folds


def describe(pool: Pool, fitted: CrossFit) -> dict[str, Any]:
    """What `blend.json` says: the final solution, and in `folds` that of each fold."""
    return _described(pool, *fitted.final) | {
        "linear": fitted.final[0].linear,
        "seed_groups": [[member.name for member in group.members] for group in pool.seed_groups],
        "folds": [_described(pool, *part) for part in fitted.parts],
    }


def _described(pool: Pool, blender: Blender, solution: Solution) -> dict[str, Any]:
    """`runs` has every run's share, those without any too."""
    biases, temperatures, slopes, decisions = None, solution.temperatures, solution.slopes, solution.decisions
    if solution.biases is not None:
        of_class = np.zeros(pool.classes)
        of_class[list(pool.scored)] = solution.biases
        biases = of_class.tolist()
    return {
        "method": blender.name,
        "runs": {run.name: share for run, share in zip(pool.runs, run_shares(pool, solution), strict=True)},
        "biases": biases,
        "temperatures": None if temperatures is None else temperatures.tolist(),
        "slopes": None if slopes is None else slopes.tolist(),
        "smallest_region": solution.smallest,
        "decisions": None if decisions == PLAIN else asdict(decisions),
    }


def decisions_of(described: Mapping[str, Any]) -> Decisions:
    """Of what `blend.json` describes, or of one of its folds; PLAIN where nothing was to be decided."""
    return Decisions.stored(described.get("decisions") or {})


def fold_decisions(described: Mapping[str, Any]) -> list[Decisions]:
    """Of each fold, fitted without it."""
    return [decisions_of(part) for part in described["folds"]]


def quantiles_of(fitted: CrossFit) -> dict[str, np.ndarray]:
    """By the number of the fold, and of the FINAL solution, where they are made of ranks."""
    solutions = {str(k): solution for k, (_, solution) in enumerate(fitted.parts)} | {FINAL: fitted.final[1]}
    return {k: one.quantiles for k, one in solutions.items() if one.quantiles is not None}


def final_solution(
    described: Mapping[str, Any], quantiles: Mapping[str, np.ndarray], competition: Competition
) -> Solution:
    """What is handed in, of the runs that have a share in it, their seed groups in order."""
    return _solution(described, _groups(described), quantiles.get(FINAL), competition).of_those_with_a_share


def _groups(described: Mapping[str, Any]) -> list[list[str]]:
    found: list[list[str]] = described.get("seed_groups") or [[name] for name in described["runs"]]
    return found


def _solution(
    part: Mapping[str, Any], groups: Sequence[Sequence[str]], quantiles: np.ndarray | None, competition: Competition
) -> Solution:
    """Members of a seed group share its weight; one that has none takes no part in it."""
    biases, temperatures, slopes = part.get("biases"), part.get("temperatures"), part.get("slopes")
    return Solution(
        weights=np.array([sum(part["runs"][name] for name in group) for group in groups]),
        biases=None if biases is None else np.array(biases)[list(competition.scored)],
        temperatures=None if temperatures is None else np.array(temperatures),
        quantiles=quantiles,
        smallest=part.get("smallest_region", 0),
        slopes=None if slopes is None else np.array(slopes),
        decisions=decisions_of(part),
    )


def runs_used(described: Mapping[str, Any]) -> list[str]:
    """Names of the runs that have a share in some fold's solution."""
    return [name for name in described["runs"] if any(part["runs"][name] for part in described["folds"])]


def out_of_fold_mix(
    described: Mapping[str, Any], quantiles: Mapping[str, np.ndarray], competition: Competition
) -> Mix:
    """What a blend makes of anything that `runs_used` predicted, in their order: each fold by its own solution."""
    names, task = runs_used(described), competition.task
    channels = list(competition.scored if task.exclusive else range(task.channels))
    groups = _groups(described)
    solutions = [
        _solution(part, groups, quantiles.get(str(k)), competition) for k, part in enumerate(described["folds"])
    ]

    def mix(stored: Sequence[np.ndarray], fold: np.ndarray) -> np.ndarray:
        result = np.zeros((len(fold), *stored[0].shape[1:]), np.float32)
        for k in np.unique(fold):
            shares, rows = described["folds"][k]["runs"], np.flatnonzero(fold == k)

            def mean(group: int, shares: Any = shares, rows: Any = rows) -> np.ndarray:
                """Of the members that have a share, in which they are alike."""
                members = [names.index(name) for name in groups[group] if shares[name]]
                return np.mean([probabilities(stored[at][rows])[:, channels] for at in members], axis=0)

            values = mix_parts(solutions[k], mean, spans_of_one(task))
            result[rows] = whole(solutions[k], values, channels, result.shape[1])
        return result

    return mix

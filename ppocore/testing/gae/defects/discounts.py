"""List known mistakes about gamma and lambda."""

from __future__ import annotations

import numpy as np

from ppocore.testing.gae.defects.registry import mistake
from ppocore.testing.gae.plan import Plan
from ppocore.typing import Array


@mistake("gamma and lambda are swapped", early=True)
def gamma_and_lambda_swapped(p: Plan) -> None:
    p.gamma, p.lam = p.lam, p.gamma


@mistake("lambda is applied inside the residual")
def lambda_applied_to_the_residual(p: Plan) -> None:
    p.discount = p.discount * p.lam


@mistake("the value of the successor is not discounted by gamma")
def gamma_missing_in_the_residual(p: Plan) -> None:
    p.discount = 1.0


@mistake("the recursion is discounted by lambda alone, without gamma")
def gamma_missing_in_the_recursion(p: Plan) -> None:
    p.decay = p.lam


@mistake(
    "the recursion is discounted by gamma alone, without lambda",
    choice="lam=1.0 if it is a Monte Carlo estimate",
)
def lambda_missing_in_the_recursion(p: Plan) -> None:
    p.decay = p.gamma


@mistake("the recursion is not discounted at all")
def recursion_not_discounted(p: Plan) -> None:
    p.decay = 1.0


@mistake("there is no recursion: the advantage is the residual of one step", choice="lam=0.0 if that is meant")
def no_recursion(p: Plan) -> None:
    p.decay = 0.0


@mistake(
    "one lambda is missing: the first of the later residuals is discounted by gamma and not by gamma lambda",
    choice="estimator='vtrace' if it is the policy-gradient advantage of V-trace",
)
def one_lambda_missing(p: Plan) -> None:
    def once_more(plan: Plan, advantages: Array) -> Array:
        following = np.concatenate([advantages[1:], np.zeros_like(advantages[:1])])
        found: Array = plan.residuals() + plan.gamma * plan.continues * following
        return found

    p.finish.append(once_more)


@mistake("it is a Monte Carlo estimate, whatever lambda is, and an open end is worth nothing")
def monte_carlo_with_an_open_end_worth_nothing(p: Plan) -> None:
    p.decay = p.gamma
    p.bootstraps[-1] &= p.truncated[-1]


@mistake("it is a Monte Carlo estimate, whatever lambda is, and an open last row is worth its own value")
def monte_carlo_with_the_value_of_the_last_row(p: Plan) -> None:
    p.decay = p.gamma
    p.weight[-1] *= ~p.continues[-1]

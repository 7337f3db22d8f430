"""The true purchase probability of a decision point, exactly, from `Behaviour` and the observable situation.

A product met for the first time is carted with probability c. Once carted it is bought in the visit with
probability b, which is the mean over the hidden intent by its posterior. If it is not bought, it may call the
shopper back within the label's horizon with probability q and is then bought with probability v. Hence

    P(buy | cart) = b + (1 - b) q_carted v_carted
    P(buy | view) = c * sum_k P(k looks) P(buy | cart after k looks) + (1 - c) q_viewed v_viewed.

A product that is met again after a call cannot call once more within the horizon: there q is 0.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.shop.behaviour import Behaviour, Floats, Known, Situation, again_log_odds, cart_log_odds

LOOK_STEPS = 4
"""Looks are told apart up to the fourth; more count as four."""


def cart_probability(b: Behaviour, s: Situation) -> Floats:
    """c: the product is carted in this visit, once viewed, (n,)."""
    return np.asarray(expit(cart_log_odds(b.cart, s)))


def bought_in_visit(b: Behaviour, buy_log_odds: Floats, intent: Floats) -> Floats:
    """b: the product is bought in this visit, once carted, (n,); a removal, drawn apart, makes it less likely.

    `buy_log_odds` are those with the intent to buy, `intent` is the probability of that.
    """
    kept = 1.0 - b.removed + b.removed * b.buys_after_removal
    with_intent, without = expit(buy_log_odds), expit(buy_log_odds + b.buy.no_intent)
    return np.asarray(kept * (intent * with_intent + (1.0 - intent) * without))


def with_looks(b: Behaviour, log_odds_of_one: Floats, looks: NDArray[np.int8]) -> Floats:
    """The log-odds of buying after `looks` views of the product before the cart (none counts as one), (n,)."""
    return log_odds_of_one + b.buy.per_extra_look * (np.clip(looks, 1, LOOK_STEPS) - 1)


def intent_of(known: NDArray[np.int8], intent: Floats) -> Floats:
    """The intent that matters for a product: one that is known already is bought without regard to it, (n,)."""
    return np.where(known == Known.NEW, intent, 1.0)


def call_probability(b: Behaviour, known: NDArray[np.int8], member: Floats) -> Floats:
    """q: an unbought product calls the shopper back within hours; `known` says how far it got, (n,)."""
    return np.asarray(b.called_back)[known] * np.where(member > 0, b.called_back_member, 1.0)


def value_of_return(b: Behaviour, s: Situation, known: Known) -> Floats:
    """v: a product that called the shopper back is bought then, (n,).

    Whether the shopper is a member at the next session is drawn anew, so v is the mean over both.
    """
    status = np.full(s.member.size, known, np.int8)
    joined = np.where(s.member > 0, b.member_stays, b.member_joins)
    value = np.zeros(s.member.size)
    for member, share in ((0.0, 1.0 - joined), (1.0, joined)):
        then = np.full(s.member.size, member)
        carted = expit(again_log_odds(b.cart, status, s.cart_appeal, then))
        after = again_log_odds(b.buy, status, s.buy_appeal, then)
        value += share * carted * bought_after_any_looks(b, after, np.ones_like(then))
    only = b.only_buys[known]
    return only + (1.0 - only) * value


def bought_after_any_looks(b: Behaviour, log_odds_of_one: Floats, intent: Floats) -> Floats:
    """b before the number of looks is known, (n,)."""
    looks = look_distribution(b)
    return sum(
        (
            share * bought_in_visit(b, log_odds_of_one + b.buy.per_extra_look * extra, intent)
            for extra, share in enumerate(looks)
        ),
        start=np.zeros_like(log_odds_of_one),
    )


def later_calls(b: Behaviour, s: Situation, known: Known) -> Floats:
    """q v: an unbought product is bought after a call, zero for products that are known already, (n,)."""
    call = call_probability(b, np.full(s.member.size, known, np.int8), s.member)
    return np.where(s.known == Known.NEW, call * value_of_return(b, s, known), 0.0)


def cart_point(b: Behaviour, buy_log_odds_after_looks: Floats, intent: Floats, calls_carted: Floats) -> Floats:
    """P(buy | cart), (n,)."""
    bought = bought_in_visit(b, buy_log_odds_after_looks, intent)
    return bought + (1.0 - bought) * calls_carted


def view_point(b: Behaviour, s: Situation, cart: Floats, buy_log_odds_of_one: Floats, calls_carted: Floats) -> Floats:
    """P(buy | view), (n,)."""
    bought = bought_after_any_looks(b, buy_log_odds_of_one, intent_of(s.known, s.intent))
    once_carted = bought + (1.0 - bought) * calls_carted
    return cart * once_carted + (1.0 - cart) * later_calls(b, s, Known.VIEWED)


@lru_cache(maxsize=64)
def look_distribution(b: Behaviour) -> tuple[float, ...]:
    """P(1, 2, 3, at least 4 views of a product before its cart), second looks included."""
    run = np.asarray(b.looks_carted) / np.sum(b.looks_carted)
    total = np.zeros(2 * run.size)
    total[: run.size] += (1.0 - b.later_cart) * run
    twice = np.convolve(run, run)  # index i: i + 2 looks
    total[1 : 1 + twice.size] += b.later_cart * twice
    return (*total[: LOOK_STEPS - 1].tolist(), float(total[LOOK_STEPS - 1 :].sum()))

"""How near the simulated shop is to a real one: one table of statistics, and how good the truth is as a predictor.

    python -m benchmarks.simulator_fidelity path/to/store_events_2016-08_09.parquet [--events N] [--seed N]

Both logs are read with the project's own reader, so decision points and labels are the ones that models are
trained on.
"""

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from common.clock import DAY_US, HOUR_US, from_datetime
from common.eventlog import check, kept
from common.events import EventKind
from common.quality import quality
from common.replay import point_table
from training.shop.traffic import Plan
from training.simulate import simulate

VIEW, CART, REMOVE, PURCHASE = (int(kind) for kind in EventKind)
Frame = pd.DataFrame


class Log:
    """A log as frames: `events`, `sessions`, `pairs` (session, product) and `points`."""

    def __init__(self, table: pa.Table) -> None:
        self.events = e = table.to_pandas().sort_values(["user", "time_us", "kind", "product"]).reset_index(drop=True)
        e["gap_s"] = e.groupby("session").time_us.diff() / 1e6
        for name in ("kind", "product"):
            e[f"last_{name}"] = e.groupby("session")[name].shift()
        self.sessions = _sessions(e)
        self.pairs = _pairs(e)
        self.points = _points(table)


def read(path: Path) -> Log:
    """Read a log."""
    return Log(kept(check(pq.read_table(path), source=str(path))))


def _sessions(e: Frame) -> Frame:
    s = e.groupby("session", sort=False).agg(
        user=("user", "first"), start=("time_us", "min"), end=("time_us", "max"), n=("kind", "size")
    )
    s = s.sort_values(["user", "start"])
    s["gap_h"] = (s.start - s.groupby("user").end.shift()) / HOUR_US
    s["back_h"] = s.groupby("user").gap_h.shift(-1)
    s["number"] = s.groupby("user").cumcount() + 1
    s["buys"] = e[e.kind == PURCHASE].groupby("session")["product"].nunique().reindex(s.index).fillna(0)
    s["carts"] = e[e.kind == CART].groupby("session")["product"].nunique().reindex(s.index).fillna(0)
    s["met"] = e.groupby("session")["product"].nunique()
    usual = e[e.kind == VIEW].groupby("product").price.agg(lambda x: x.value_counts().index[0])
    ratio = (e.price / e["product"].map(usual)).groupby(e.session).median()
    s["member"] = ratio.reindex(s.index).between(0.78, 0.82)
    return s


def _pairs(e: Frame) -> Frame:
    first = e.groupby(["session", "product", "kind"]).time_us.min().unstack().reindex(columns=range(4))
    first.columns = ["view", "cart", "removal", "purchase"]
    count = (
        e.groupby(["session", "product", "kind"]).size().unstack(fill_value=0).reindex(columns=range(4), fill_value=0)
    )
    count.columns = ["views", "carts", "removals", "purchases"]
    p = first.join(count).reset_index()
    carted = e[e.kind == VIEW].merge(p[["session", "product", "cart"]].dropna(), on=["session", "product"])
    before = carted[carted.time_us < carted.cart].groupby(["session", "product"]).size().rename("views_before")
    p = p.merge(before.reset_index(), on=["session", "product"], how="left")
    p["user"] = p.session.map(e.groupby("session").user.first())
    seen = e.groupby(["user", "product"]).time_us.min().rename("ever").reset_index()
    return p.merge(seen, on=["user", "product"]).merge(
        e.groupby("session").time_us.min().rename("start").reset_index(), on="session"
    )


def _points(table: pa.Table) -> Frame:
    end_us = max(table["time_us"].to_pylist())
    points: Frame = point_table(table, horizon_us=DAY_US, log_end_us=end_us).to_pandas()
    points = points[~points.censored].rename(columns={"as_of_us": "as_of"}).reset_index(drop=True)
    return points.assign(
        kind=points.kind.map({VIEW: "view", CART: "cart"}),
        hour=points.as_of // HOUR_US % 24,
        dow=(points.as_of // DAY_US + 3) % 7,
        label=points.label.astype(bool),
    )


def share(x: Any) -> str:
    """A share in percent."""
    return f"{100 * float(np.mean(x)):.1f} %"


def quantiles(x: Any, points: tuple[float, ...] = (0.5, 0.9, 0.99), digits: int = 0) -> str:
    """Quantiles in one cell."""
    return " / ".join(f"{value:,.{digits}f}" for value in np.quantile(np.asarray(x, float), points))


def mean_and(x: Any) -> str:
    """The mean, then quantiles."""
    return f"{np.mean(x):.2f}; {quantiles(x)}"


def gap(log: Log, last: int, kind: int, same: bool | None = None) -> str:
    """Quantiles of the gap between two kinds of event of a session, seconds."""
    e = log.events
    chosen = (e.last_kind == last) & (e.kind == kind)
    if same is not None:
        chosen &= (e.last_product == e["product"]) == same
    return quantiles(e[chosen].gap_s, (0.1, 0.5, 0.9), 1)


def rate(log: Log, kind: str, by: Callable[[Frame], Any]) -> str:
    """Base rates in groups of decision points, percent."""
    p = log.points[log.points.kind == kind]
    return " / ".join(f"{100 * value:.1f}" for value in p.groupby(by(p), observed=True).label.mean())


def _top(log: Log, n: int) -> float:
    views = log.events[log.events.kind == VIEW].groupby("product").size().sort_values(ascending=False)
    return float(views.head(n).sum() / views.sum())


def _spread(log: Log, column: str) -> str:
    """Standard deviation, over groups, of the base rate at view points beyond chance, relative to the base rate."""
    p = log.points[log.points.kind == "view"]
    g = p.groupby(column).label.agg(["mean", "size"])
    g = g[g["size"] >= 50]
    base = p.label.mean()
    variance = np.average((g["mean"] - base) ** 2 - g["mean"] * (1 - g["mean"]) / g["size"], weights=g["size"])
    return f"{np.sqrt(max(variance, 0)) / base:.2f}"


def _hours(log: Log, hours: range) -> float:
    return float(np.isin(log.events.time_us // HOUR_US % 24, list(hours)).mean())


def _category_again(log: Log) -> str:
    v = log.events[log.events.kind == VIEW]
    v = v[v["product"] != v.groupby("session")["product"].shift()]
    last = v.groupby("session").category.shift()
    return share((v.category == last)[last.notna()])


def _below(log: Log) -> Any:
    e = log.events
    high = e.groupby("product").price.transform("max")
    return e.price < 0.97 * high


def _carried(log: Log) -> Any:
    p = log.pairs[log.pairs.purchase.notna()]
    return ~(p.view < p.purchase) & ~(p.cart < p.purchase)


def _back(log: Log, low_h: float, high_h: float) -> Any:
    return log.sessions.back_h.between(low_h, high_h, inclusive="left")


def _rate_by_carts(log: Log) -> str:
    s = log.sessions
    return " / ".join(f"{100 * x:.0f}" for x in (s.buys > 0).groupby(s.carts.clip(upper=6)).mean())


STATISTICS: dict[str, Callable[[Log], str]] = {
    "events per user: mean; median / 90 % / 99 %": lambda g: mean_and(g.events.groupby("user").size()),
    "events per session": lambda g: mean_and(g.sessions.n),
    "sessions per user: mean; 90 % / 99 % / 99.9 %": lambda g: (
        f"{len(g.sessions) / g.sessions.user.nunique():.2f}; "
        + quantiles(g.sessions.groupby("user").size(), (0.9, 0.99, 0.999))
    ),
    "products met per session": lambda g: mean_and(g.sessions.met),
    "view / cart / remove / purchase": lambda g: (
        " / ".join(f"{100 * (g.events.kind == kind).mean():.1f}" for kind in (VIEW, CART, REMOVE, PURCHASE)) + " %"
    ),
    "sessions with a cart": lambda g: share(g.sessions.carts > 0),
    "sessions with a purchase": lambda g: share(g.sessions.buys > 0),
    "products carted per session with a cart": lambda g: mean_and(g.sessions.carts[g.sessions.carts > 0]),
    "sessions that buy, % by products carted 0 .. 6+": _rate_by_carts,
    "products per checkout": lambda g: mean_and(g.sessions.buys[g.sessions.buys > 0]),
    "carted products bought, in sessions that buy": lambda g: share(
        g.pairs.purchase[g.pairs.cart.notna() & g.pairs.session.isin(g.sessions.index[g.sessions.buys > 0])].notna()
    ),
    "viewed products carted after": lambda g: share((g.pairs.cart > g.pairs.view)[g.pairs["view"].notna()]),
    "carted products without a view": lambda g: share(g.pairs["view"].isna()[g.pairs.cart.notna()]),
    "carted products removed": lambda g: share(g.pairs.removals[g.pairs.cart.notna()] > 0),
    "carted products carted twice or more": lambda g: share(g.pairs.carts[g.pairs.cart.notna()] > 1),
    "views before the cart: 1 / 2 / 3 / more, %": lambda g: " / ".join(
        f"{100 * x:.1f}" for x in g.pairs.views_before.dropna().clip(upper=4).value_counts(normalize=True).sort_index()
    ),
    "products with a purchase: viewed before, in session": lambda g: share(
        (g.pairs["view"] < g.pairs.purchase)[g.pairs.purchase.notna()]
    ),
    "carted before, in session": lambda g: share((g.pairs.cart < g.pairs.purchase)[g.pairs.purchase.notna()]),
    "neither (carried over)": lambda g: share(_carried(g)),
    "neither, but seen in an earlier session": lambda g: share(
        _carried(g) & (g.pairs.ever < g.pairs.start)[g.pairs.purchase.notna()]
    ),
    "same-instant ties among events of a session": lambda g: share(g.events.gap_s.dropna() == 0),
    "seconds view -> view, same product: 10 / 50 / 90 %": lambda g: gap(g, VIEW, VIEW, True),
    "view -> view, next product": lambda g: gap(g, VIEW, VIEW, False),
    "view -> cart, same product": lambda g: gap(g, VIEW, CART, True),
    "cart -> view": lambda g: gap(g, CART, VIEW),
    "cart -> remove": lambda g: gap(g, CART, REMOVE),
    "last event -> checkout": lambda g: quantiles(
        g.events[(g.events.kind == PURCHASE) & (g.events.last_kind < PURCHASE)].gap_s, (0.1, 0.5, 0.9), 1
    ),
    "first cart -> purchase of a product": lambda g: quantiles(
        ((g.pairs.purchase - g.pairs.cart) / 1e6)[g.pairs.cart < g.pairs.purchase], (0.1, 0.5, 0.9), 1
    ),
    "session duration, s": lambda g: quantiles((g.sessions.end - g.sessions.start) / 1e6),
    "sessions followed by another within 24 h": lambda g: share(_back(g, 0, 24)),
    "later": lambda g: share(_back(g, 24, 1e9)),
    "return gap within 24 h, h: 10 / 50 / 90 %": lambda g: quantiles(
        g.sessions.back_h[_back(g, 0, 24)], (0.1, 0.5, 0.9), 1
    ),
    "return gap beyond, days": lambda g: quantiles(g.sessions.back_h[_back(g, 24, 1e9)] / 24, (0.1, 0.5, 0.9), 1),
    "events at 7 to 12 h / 15 to 22 h UTC": lambda g: (
        f"{100 * _hours(g, range(7, 13)):.1f} / {100 * _hours(g, range(15, 23)):.1f} %"
    ),
    "events on Saturday and Sunday": lambda g: share((g.events.time_us // DAY_US + 3) % 7 >= 5),
    "views of the top 1 / 10 / 50 / 100 products": lambda g: (
        " / ".join(f"{100 * _top(g, n):.1f}" for n in (1, 10, 50, 100)) + " %"
    ),
    "next product of the same category": _category_again,
    "events without a brand": lambda g: share(g.events.brand == ""),
    "price viewed: 10 / 50 / 90 %": lambda g: quantiles(g.events.price[g.events.kind == VIEW], (0.1, 0.5, 0.9), 2),
    "price bought": lambda g: quantiles(g.events.price[g.events.kind == PURCHASE], (0.1, 0.5, 0.9), 2),
    "views below the product's highest price": lambda g: share(_below(g)[g.events.kind == VIEW]),
    "purchases below it": lambda g: share(_below(g)[g.events.kind == PURCHASE]),
    "sessions of members (20 % off everything)": lambda g: share(g.sessions.member),
    "member sessions / others that buy": lambda g: (
        f"{share(g.sessions.buys[g.sessions.member] > 0)} / {share(g.sessions.buys[~g.sessions.member] > 0)}"
    ),
    "base rate at views": lambda g: share(g.points.label[g.points.kind == "view"]),
    "base rate at carts": lambda g: share(g.points.label[g.points.kind == "cart"]),
    "at views by session number 1 / 2 / 3 / 4+, %": lambda g: rate(
        g, "view", lambda p: p.session.map(g.sessions.number).clip(upper=4)
    ),
    "at carts by session number": lambda g: rate(g, "cart", lambda p: p.session.map(g.sessions.number).clip(upper=4)),
    "at views by hour 0-5 / 6-11 / 12-17 / 18-23": lambda g: rate(g, "view", lambda p: p.hour // 6),
    "at carts by hour": lambda g: rate(g, "cart", lambda p: p.hour // 6),
    "at views, weekdays / weekends": lambda g: rate(g, "view", lambda p: p.dow >= 5),
    "at views by price: < 3 / < 10 / < 20 / < 40 / more": lambda g: rate(
        g, "view", lambda p: pd.cut(p.price, [0, 3, 10, 20, 40, 1e6])
    ),
    "at carts by price": lambda g: rate(g, "cart", lambda p: pd.cut(p.price, [0, 3, 10, 20, 40, 1e6])),
    "spread of the rate at views over products (relative)": lambda g: _spread(g, "product"),
    "over categories": lambda g: _spread(g, "category"),
}


def truth_rows(truth: Frame) -> list[str]:
    """Quality of the true probability as a predictor, by kind."""
    rows = ["| decision points | n | base rate | mean truth | ROC AUC | PR-AUC | log loss | ECE |", "| --- " * 8 + "|"]
    for name, part in (("view", truth[truth.kind == "view"]), ("cart", truth[truth.kind == "cart"]), ("all", truth)):
        y, p = part.label.astype(int), part.true_probability
        q = quality(y, p)
        rows.append(
            f"| {name} | {len(part):,} | {y.mean():.4f} | {p.mean():.4f} "
            f"| {q.roc_auc:.4f} | {q.pr_auc:.4f} | {q.log_loss:.4f} | {q.ece:.4f} |"
        )
    return rows


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="a real log in the REES46 columns")
    parser.add_argument("--events", type=int, default=134_202, help="size of the simulated log (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    if not args.real.is_file():
        parser.error(f"{args.real} is not there")
    start_us = from_datetime(datetime(2026, 8, 1, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as folder:
        log, truth = Path(folder, "log.parquet"), Path(folder, "truth.parquet")
        simulate(Plan(args.events, args.seed, start_us, days=61), log, truth)
        simulated, points = read(log), pd.read_parquet(truth).dropna(subset="label")
    real = read(args.real)
    print("| statistic | real | simulated |\n| --- | --- | --- |")
    for name, statistic in STATISTICS.items():
        print(f"| {name} | {statistic(real)} | {statistic(simulated)} |")
    print("\nThe truth as a predictor, on the simulated log:\n")
    print("\n".join(truth_rows(points)))


if __name__ == "__main__":
    main()

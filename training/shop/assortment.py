"""What the shop sells: categories, brands, popularity, appeal and prices."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.errors import ConfigError
from training.shop.prices import Prices, list_prices, priced

MIN_PRODUCTS = 50
MAX_PRODUCTS = 50_000
"""A bit per shopper and product is kept while a batch of shoppers is simulated."""

BRANDS = ("northwind", "harbor", "kite")
_BRAND_SHARES = (0.30, 0.50, 0.13, 0.07)  # the first: no brand at all
_POPULARITY_LOG_SD = 0.87
_CART_APPEAL_LOG_SD = 0.75
_BUY_APPEAL_LOG_SD = 0.32
_CART_APPEAL_PER_LOG_PRICE = -0.45


class Category(NamedTuple):
    """One category, after the real shop's: share of products, views per product, price and pull into the cart."""

    code: str
    product_share: float
    popularity: float
    median_price: float
    price_log_sd: float
    cart_appeal: float


CATEGORIES = (
    Category("apparel.shirt.mens", 0.14, 1.29, 23.6, 0.37, 0.29),
    Category("apparel.shirt.womens", 0.12, 0.50, 20.7, 0.33, 0.42),
    Category("apparel.jacket.mens", 0.05, 1.34, 75.0, 0.30, -0.57),
    Category("apparel.jacket.womens", 0.05, 0.55, 80.3, 0.35, -0.64),
    Category("apparel.hat", 0.02, 0.90, 22.2, 0.31, 0.11),
    Category("apparel.sportswear", 0.03, 0.73, 38.9, 0.83, 0.02),
    Category("kids.infant", 0.06, 0.34, 21.7, 0.31, 0.54),
    Category("kids.toddler", 0.04, 0.38, 19.7, 0.29, 0.27),
    Category("kids.youth", 0.03, 0.29, 21.1, 0.25, 0.17),
    Category("stationery.office", 0.14, 0.86, 4.5, 0.94, 0.41),
    Category("stationery.stickers", 0.005, 4.65, 2.0, 0.20, 1.17),
    Category("electronics.gadgets", 0.07, 1.47, 25.9, 1.20, -0.66),
    Category("electronics.audio", 0.01, 1.40, 60.0, 0.50, -1.60),
    Category("electronics.power", 0.01, 0.50, 20.0, 0.30, -1.00),
    Category("bags.backpacks", 0.05, 2.30, 60.0, 0.70, -0.70),
    Category("bags.limited", 0.02, 1.03, 60.0, 0.80, -0.99),
    Category("kitchen.bottles", 0.05, 1.83, 11.3, 0.81, 0.15),
    Category("kitchen.mugs", 0.01, 2.00, 10.8, 0.30, 0.68),
    Category("kitchen.accessories", 0.015, 0.65, 5.0, 0.74, 0.60),
    Category("lifestyle.fun", 0.05, 1.15, 6.3, 1.00, 0.01),
    Category("lifestyle.games", 0.04, 0.31, 25.2, 0.20, -0.44),
    Category("gift.cards", 0.01, 0.41, 60.0, 0.80, 0.40),
)
"""Shapes fitted to 2016-08 and 2016-09 of the real shop; the names are ours."""


@dataclass(frozen=True)
class Assortment:
    """All products, ordered by category; arrays are (products,), one row a product.

    Appeals are log-odds around zero: of putting the product in the cart once viewed, of buying it once carted.
    `category_edges` (categories + 1,) bounds each category's part of `popularity_edges` (products,), the
    cumulative popularity, whose last value is 1.
    """

    product_id: NDArray[np.int64]
    category: NDArray[np.int16]
    brand: NDArray[np.int16]
    cart_appeal: NDArray[np.float64]
    buy_appeal: NDArray[np.float64]
    popularity_edges: NDArray[np.float64]
    category_edges: NDArray[np.float64]
    prices: Prices

    @property
    def size(self) -> int:
        """How many products there are."""
        return self.product_id.size

    def drawn(self, category: NDArray[np.int16], rng: Generator) -> NDArray[np.int64]:
        """Products by popularity, (n,): from all, or from within a category where that is not negative."""
        within = category >= 0
        low = np.where(within, self.category_edges[np.maximum(category, 0)], 0.0)
        high = np.where(within, self.category_edges[category + 1], 1.0)
        spot = low + rng.random(category.size) * (high - low)
        return np.asarray(np.minimum(np.searchsorted(self.popularity_edges, spot, side="right"), self.size - 1))


def stocked(products: int, days: int, rng: Generator) -> Assortment:
    """A shop's assortment with its prices over `days` days.

    Raises:
        ConfigError: `products` is outside what the simulation can carry.
    """
    if not MIN_PRODUCTS <= products <= MAX_PRODUCTS:
        raise ConfigError(
            f"a simulated shop of {products} products is not possible",
            remedy=f"choose --products between {MIN_PRODUCTS} and {MAX_PRODUCTS}",
        )
    category = _categories(products)
    traits = np.array([row[2:] for row in CATEGORIES])[category]
    list_cents = list_prices(traits[:, 1], traits[:, 2], rng)
    dearness = np.log(list_cents / 100.0 / traits[:, 1])
    popularity = traits[:, 0] * np.exp(_POPULARITY_LOG_SD * rng.standard_normal(products))
    cart_appeal = traits[:, 3] + _CART_APPEAL_PER_LOG_PRICE * dearness
    cart_appeal += _CART_APPEAL_LOG_SD * rng.standard_normal(products)
    edges = np.cumsum(popularity) / popularity.sum()
    last_of_category = np.searchsorted(category, np.arange(len(CATEGORIES)), side="right") - 1
    return Assortment(
        product_id=rng.choice(2_000_000_000, products, replace=False).astype(np.int64),
        category=category,
        brand=(rng.choice(len(_BRAND_SHARES), products, p=_BRAND_SHARES) - 1).astype(np.int16),
        cart_appeal=_centred(cart_appeal, popularity),
        buy_appeal=_centred(_BUY_APPEAL_LOG_SD * rng.standard_normal(products), popularity),
        popularity_edges=edges,
        category_edges=np.concatenate([[0.0], edges[last_of_category]]),
        prices=priced(list_cents, days, rng),
    )


def _centred(appeal: NDArray[np.float64], popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Appeal around zero for what shoppers meet, so that every seed's shop has about the same conversion."""
    return appeal - np.average(appeal, weights=popularity)


def _categories(products: int) -> NDArray[np.int16]:
    """Each product's category, sorted; every category has at least one."""
    shares = np.array([row.product_share for row in CATEGORIES])
    wanted = shares / shares.sum() * (products - shares.size)
    counts = 1 + np.floor(wanted).astype(int)
    missing = products - counts.sum()
    counts[np.argsort(np.floor(wanted) - wanted, kind="stable")[:missing]] += 1
    return np.repeat(np.arange(shares.size), counts).astype(np.int16)

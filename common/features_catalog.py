"""The features of what the shop knew on the eve of the question's day."""

from typing import Any

from common.catalog_state import (
    BAND,
    BRAND,
    CATEGORY,
    CATEGORY_HOUR,
    CENTS,
    HIGH,
    HIGH_BEFORE,
    HOUR,
    PRODUCT,
    SHOP,
    VIEWS,
)
from common.compiled import compiled
from common.feature_specs import AT
from common.features_user import ratio

VIEWS_PER_DAY, CART_RATE, BUY_RATE, CART_TO_BUY, REMOVE_RATE, TREND = range(6)


@compiled
def fill_shop_prices(x: Any, ask: Any, product: Any) -> None:
    """The price shown beside what the shop asked for the product lately (`product`: its figures)."""
    usual = product[CENTS] / product[VIEWS] / 100.0 if product[VIEWS] > 0.0 else 0.0
    x[AT.price_vs_high] = ratio(ask.price, max(product[HIGH], product[HIGH_BEFORE]) / 100.0)
    x[AT.price_vs_usual] = ratio(ask.price, usual)


@compiled
def fill_rates_of_shop(x: Any, rates: Any) -> None:
    """Smoothed behaviour of everything that the question names (`catalog_state.fill_known`)."""
    x[AT.product_views_per_day] = rates[PRODUCT, VIEWS_PER_DAY]
    x[AT.product_trend] = rates[PRODUCT, TREND]
    x[AT.product_cart_rate] = rates[PRODUCT, CART_RATE]
    x[AT.product_buy_rate] = rates[PRODUCT, BUY_RATE]
    x[AT.product_cart_to_buy] = rates[PRODUCT, CART_TO_BUY]
    x[AT.product_remove_rate] = rates[PRODUCT, REMOVE_RATE]
    x[AT.brand_buy_rate] = rates[BRAND, BUY_RATE]
    x[AT.brand_cart_to_buy] = rates[BRAND, CART_TO_BUY]
    x[AT.category_cart_rate] = rates[CATEGORY, CART_RATE]
    x[AT.category_buy_rate] = rates[CATEGORY, BUY_RATE]
    x[AT.category_cart_to_buy] = rates[CATEGORY, CART_TO_BUY]
    x[AT.category_hour_buy_rate] = rates[CATEGORY_HOUR, BUY_RATE]
    x[AT.category_hour_cart_to_buy] = rates[CATEGORY_HOUR, CART_TO_BUY]
    x[AT.hour_buy_rate] = rates[HOUR, BUY_RATE]
    x[AT.hour_cart_to_buy] = rates[HOUR, CART_TO_BUY]
    x[AT.band_buy_rate] = rates[BAND, BUY_RATE]
    x[AT.band_cart_to_buy] = rates[BAND, CART_TO_BUY]
    x[AT.shop_cart_to_buy] = rates[SHOP, CART_TO_BUY]

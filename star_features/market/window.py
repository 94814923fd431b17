"""The window of the simulated market, in microseconds since 1970 UTC. No clock is read."""

from star_features.market.settings import MarketSettings

DAY = 86_400_000_000
END = 20_464 * DAY  # 2026-01-11T00:00:00Z, the day on which the postings were last seen


def start_of(settings: MarketSettings) -> int:
    return END - settings.days * DAY

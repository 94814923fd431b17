"""A simulated job market on real texts: `star_features.market.generate`."""

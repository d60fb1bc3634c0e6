"""What a server has counted, where programs for Trio look for it; it stands in `session.site.statistics`."""

from wscore.session.site.statistics import LATENCY_BOUNDS, ServerStatistics, Survey, Tally

__all__ = ["LATENCY_BOUNDS", "ServerStatistics", "Survey", "Tally"]

"""What stands elsewhere by now is found where programs look for it."""

from wscore.server import auth, logs, statistics
from wscore.session.site import auth as site_auth
from wscore.session.site import logs as site_logs
from wscore.session.site import statistics as site_statistics


def test_the_hooks_for_authorize_are_those_of_the_site() -> None:
    assert [getattr(auth, name) for name in auth.__all__] == [getattr(site_auth, name) for name in auth.__all__]


def test_statistics_and_the_logger_are_those_of_the_site() -> None:
    assert statistics.ServerStatistics is site_statistics.ServerStatistics
    assert (logs.logger, logs.fields) == (site_logs.logger, site_logs.fields)

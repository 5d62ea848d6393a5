"""The two servers of PostgreSQL under faults, without a daemon: what the harness can do, and what it can show."""

import subprocess
import time

import pytest
from cluster.conftest import SCHEMAS
from polling import wait_until


@pytest.fixture
def pair(servers, request):
    servers.prepare(f"instances_{next(SCHEMAS)}", request.param == "synchronous")
    servers.sql(f"CREATE SCHEMA {servers.schema}", "CREATE TABLE written (n int)")
    return servers


def write(pair, number, **options):
    pair.sql(f"INSERT INTO written VALUES ({number})", **options)


def written(pair):
    return pair.sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM written")


def copied(pair):
    """Rows that the standby has."""
    return pair.standby.sql(f"SELECT count(*) FROM {pair.schema}.written", database="hookyard")


@pytest.mark.parametrize("pair", ["synchronous"], indirect=True)
def test_a_synchronous_standby_has_what_was_committed(pair):
    write(pair, 1)
    pair.primary.kill()
    pair.promote()
    assert written(pair) == "1"
    write(pair, 2)
    pair.rebuild()
    write(pair, 3)
    pair.primary.stop()
    pair.promote()
    assert written(pair) == "1 2 3"


@pytest.mark.parametrize("pair", ["synchronous"], indirect=True)
def test_a_commit_waits_for_a_standby_that_is_cut_off(pair):
    conninfo = pair.cut()
    with pytest.raises(subprocess.TimeoutExpired):
        write(pair, 1, limit=2)
    # psql is gone, its server process still waits. Cancelled, it commits on the primary only.
    (waiting,) = pair.waiting_for_standby()
    assert pair.primary.sql(f"SELECT pg_terminate_backend({waiting})") == "t"
    wait_until("the commit is seen", lambda: written(pair) == "1")
    pair.join(conninfo)
    write(pair, 2)
    assert copied(pair) == "2"


@pytest.mark.parametrize("pair", ["asynchronous"], indirect=True)
def test_an_asynchronous_standby_that_lags_loses_what_was_committed(pair):
    write(pair, 1)
    wait_until("it is copied", lambda: copied(pair) == "1")
    pair.cut()
    write(pair, 2)
    pair.primary.kill()
    pair.promote()
    assert written(pair) == "1"


@pytest.mark.parametrize("pair", ["asynchronous"], indirect=True)
def test_a_server_that_is_killed_recovers_what_was_committed(pair):
    write(pair, 1)
    pair.primary.kill()
    pair.primary.start()
    assert written(pair) == "1"
    pair.primary.freeze()
    with pytest.raises(subprocess.SubprocessError):
        write(pair, 2, limit=2)
    pair.primary.thaw()
    wait_until("it answers again", lambda: written(pair).startswith("1"))
    begin = time.monotonic()
    pair.primary.stop()
    assert time.monotonic() - begin < 20

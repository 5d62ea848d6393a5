"""Fixtures that several files share, and what a test prints.

A test that measures something hands a line to `measured`; the line is printed below the test's result. Figures never
decide whether a test passes. A test that this machine cannot run is skipped, with the reason.
"""

import os
import signal
from pathlib import Path

import pytest
from paths import CACHE, ROOT, TARGET

pytest.register_assert_rewrite(
    "acme", "container", "edge", "load", "service", "real_senders.scenario", "cluster.checks"
)

from acme import Acme  # noqa: E402
from container import Container, Unsupported  # noqa: E402
from edge import Edge  # noqa: E402
from programs import needs  # noqa: E402
from service import Service  # noqa: E402


def pytest_configure(config):
    # A test run that is told to end stops what it started: the container, daemons, folders.
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _: pytest.exit(f"signal {number}", 128 + number))
    config.pluginmanager.register(Printer(config), "printer")


class Printer:
    """Prints the duration of each slow test and what it measured, below its result."""

    def __init__(self, config):
        self.config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report):
        if report.when != "call":
            return
        lines = [text for name, text in report.user_properties if name == "measured"]
        if lines or report.duration >= 0.5:
            terminal = self.config.pluginmanager.get_plugin("terminalreporter")
            # The terminal reporter ends this line when the next one begins.
            terminal.write("\n    " + "; ".join([f"{report.duration:.1f} s", *lines]), flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Appends to a failure what the fixtures know about it, such as the daemon's log."""
    report = yield
    if report.failed:
        for name, value in item.funcargs.items():
            if hasattr(value, "diagnostics"):
                report.sections.append((name, value.diagnostics()))
    return report


@pytest.fixture
def measured(record_property):
    """Takes a line about what the test measured."""
    return lambda text: record_property("measured", text)


@pytest.fixture(scope="session")
def binary():
    """The daemon under test: `HOOKYARD_BINARY`, or the debug build."""
    path = Path(os.environ.get("HOOKYARD_BINARY") or TARGET / "debug/hookyard")
    if not path.exists():
        pytest.skip(f"{path} is missing: run `cargo build` first")
    return path.resolve()


@pytest.fixture(scope="session")
def edge(binary, tmp_path_factory):
    """A daemon with TLS, HTTP/2, client certificates and a rate limit, on loopback."""
    needs("openssl", "curl")
    with Edge(binary, tmp_path_factory.mktemp("edge")) as edge:
        yield edge


@pytest.fixture
def acme(binary, tmp_path):
    """A folder for a daemon that gets its certificate from a test authority. Nothing runs yet."""
    needs("openssl", "pebble", "pebble-challtestsrv")
    with Acme(binary, tmp_path) as acme:
        yield acme


@pytest.fixture(scope="session")
def packages():
    """The package and its next revision, as `just package` builds them."""
    paths = [(ROOT / path).resolve() for path in os.environ.get("HOOKYARD_PACKAGES", "").split()]
    if len(paths) != 2:
        pytest.skip("HOOKYARD_PACKAGES does not name two packages: `just package` builds them")
    return paths


@pytest.fixture(scope="session")
def container(packages):
    """A booted Debian that holds both packages in /root and shares no network with this machine."""
    if os.geteuid() != 0:
        pytest.skip("a container needs root")
    needs("debootstrap", "systemd-nspawn", "setpriv", "nsenter")
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        container = Container(packages)
    except Unsupported as reason:
        pytest.skip(f"no container can run on this machine: the package was built and not installed: {reason}")
    with container:
        yield container


@pytest.fixture
def uninstalled(container):
    """A container from which every trace of hookyard is gone, for tests that install it themselves."""
    service = Service(container)
    service.erase()
    return service


@pytest.fixture
def service(container):
    """The first package, newly started with the rules of `service.RULES`, a credential and an empty store."""
    service = Service(container)
    service.begin()
    return service

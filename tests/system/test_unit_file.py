"""The shipped unit, its socket and the example drop-in, as systemd reads them. Nothing is started."""

import shutil
import subprocess

import pytest
from manual import Page, fences, pages_with
from paths import ROOT
from programs import needs

SYSTEMD = ROOT / "systemd"
EXPOSURE = 25
"""Most exposure allowed, in tenths as `systemd-analyze` counts. The unit's first comment names the same limit."""


@pytest.fixture
def units(tmp_path):
    """A folder with the unit and its socket. The unit starts a program that exists on every machine."""
    needs("systemd-analyze")
    shutil.copy(SYSTEMD / "hookyard.socket", tmp_path)
    # `verify` wants the program to exist, and the daemon may not be installed here.
    text = (SYSTEMD / "hookyard.service").read_text()
    real, present = "\nExecStart=/usr/bin/hookyard ", "\nExecStart=/bin/true "
    assert real in text
    (tmp_path / "hookyard.service").write_text(text.replace(real, present))
    return tmp_path


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def verify(units):
    return analyze("verify", "--man=no", units / "hookyard.service", units / "hookyard.socket")


def test_systemd_has_no_complaint_about_the_units_and_the_example(units):
    folder = units / "hookyard.service.d"
    folder.mkdir()
    shutil.copy(SYSTEMD / "override.example.conf", folder / "override.conf")
    # The exit code is 0 after many warnings, such as an unknown key. Any line about these files is a failure.
    _, output = verify(units)
    complaints = [line for line in output.splitlines() if str(units) in line]
    assert not complaints, complaints


DROP_INS = [(name, text) for name in pages_with("ini") for kind, text in fences(Page(name).text) if kind == "ini"]


@pytest.mark.parametrize(("page", "text"), DROP_INS, ids=[page for page, _ in DROP_INS])
def test_systemd_has_no_complaint_about_a_drop_in_of_the_manual(units, page, text):
    kind = {"[Service]": "service", "[Socket]": "socket"}[text.splitlines()[0]]
    folder = units / f"hookyard.{kind}.d"
    folder.mkdir()
    (folder / "override.conf").write_text(text)
    _, output = verify(units)
    complaints = [line for line in output.splitlines() if str(units) in line]
    assert not complaints, complaints


def test_systemd_accepts_the_units(units):
    code, output = verify(units)
    assert code == 0, output


@pytest.mark.parametrize(
    "line",
    [
        # Without these, systemd gives the service up after some failures.
        "StartLimitIntervalSec=0",
        "Restart=on-failure",
        "RestartSec=3s",
        # Secrets must not get into a core file.
        "LimitCORE=0",
        # Without these, one command can take the memory of the machine.
        "MemoryHigh=50%",
        "MemoryMax=75%",
    ],
)
def test_the_unit_has_a_setting_whose_absence_is_no_fault_to_systemd(line):
    assert line in (SYSTEMD / "hookyard.service").read_text().splitlines()


def test_the_unit_is_no_more_exposed_than_its_comment_says(units, measured):
    # Without the example drop-in, which exposes what it is chosen for. The exit code tells whether the limit holds.
    options = ["--offline=true", f"--threshold={EXPOSURE}", "--no-pager"]
    code, output = analyze("security", *options, units / "hookyard.service")
    assert code == 0, output
    measured(output.strip().splitlines()[-1])

"""The files for other programs in the manual and the examples, as these programs read them."""

import re
import shutil
import subprocess

from manual import Page
from paths import ROOT
from programs import needs

ALERTS = ROOT / "docs/examples/alerts.yml"


def promtool(folder, *arguments):
    needs("promtool")
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_loads_the_alerts(tmp_path):
    count = ALERTS.read_text().count("- alert:")
    assert f"SUCCESS: {count} rules found" in promtool(tmp_path, "check", "rules", str(ALERTS))


def test_prometheus_loads_the_documented_job_and_the_alerts_beside_it(tmp_path):
    (tmp_path / "prometheus.yml").write_text(Page("guides/monitoring.md").take("yaml prometheus"))
    shutil.copy(ALERTS, tmp_path / "hookyard-alerts.yml")
    promtool(tmp_path, "check", "config", "prometheus.yml")


def test_the_alerts_name_metrics_and_the_guide_names_the_alerts():
    text = ALERTS.read_text()
    known = Page("reference/metrics.md").text
    for metric in re.findall(r"\bhookyard_\w+", text):
        assert f"`{metric}" in known, metric
    alerts = re.findall(r"- alert: (\w+)", text)
    assert sorted(alerts) == sorted(row[0] for row in Page("guides/monitoring.md").rows("alert", "means"))

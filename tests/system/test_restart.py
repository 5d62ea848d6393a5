"""Restarts of the packaged service."""

import time

import pytest
from load import assert_nothing_was_lost, under_load

pytestmark = pytest.mark.container


def test_restarts_under_load_refuse_and_lose_nothing(service, measured):
    def restart():
        for _ in range(5):
            service.output("systemctl", "restart", "hookyard")
            time.sleep(0.5)

    measured("5 restarts: " + assert_nothing_was_lost(service, under_load(service, restart)))

"""Checks of one test that all run, also after one has failed."""


class Tally:
    """Counts what held and collects what did not."""

    def __init__(self):
        self.passed = 0
        self.failures = []

    def check(self, what: str, holds: bool, found: object = "") -> None:
        if holds:
            self.passed += 1
        else:
            self.failures.append(f"{what}: {found}")

    def equal(self, what: str, found: object, wanted: object) -> None:
        self.check(what, found == wanted, f"{found}, not {wanted}")

    def assert_all_held(self) -> None:
        assert not self.failures, f"{len(self.failures)} of {self.passed + len(self.failures)} checks failed:\n" + (
            "\n".join(self.failures)
        )

"""How many checks held, and which did not."""


class Tally:
    """Counts; a failure is printed as soon as it is known."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what: str, holds: bool, found: object = "") -> None:
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: {found}", flush=True)

    def equal(self, what: str, found: object, wanted: object) -> None:
        self.check(what, found == wanted, f"{found}, not {wanted}")

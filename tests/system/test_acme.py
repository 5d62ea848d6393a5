"""Certificates from an ACME authority: issued, kept, renewed, refused.

After each test, the daemon must stop with 0 and its log must hold no secret.
"""

import re
import stat
import threading
import time

from acme import LIMIT, NO_ANSWER
from polling import wait_until

A, B, C, D = "a.hook.test", "b.hook.test", "c.hook.test", "d.hook.test"


def test_without_an_authority_everything_else_is_served_and_status_says_why(acme):
    acme.set_rules(A)
    acme.start_daemon()
    text = acme.wait_for_status("refused")
    assert "there is no certificate yet: https://127.0.0.1:" in text, text
    assert "no certificate was issued" in acme.log()
    assert acme.plain_status() == 200


def test_a_reload_asks_again_at_once_and_the_files_are_for_the_daemon_only(acme, measured):
    acme.set_rules(A)
    acme.start_daemon()
    acme.wait_for_status("refused")
    acme.start_names()
    acme.start_authority()
    begun = time.monotonic()
    acme.reload()
    acme.wait_for_certificate(A)
    measured(f"issued {time.monotonic() - begun:.1f} s after the reload")
    acme.wait_until_well()
    code, text = acme.status()
    assert re.search(r"certificate: valid until 20\d\d-\S+\n  the authority is asked at 20", text), (code, text)
    files = list((acme.folder / "acme").iterdir())
    assert files
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((acme.folder / "acme").stat().st_mode) == 0o700


def test_a_restart_serves_the_certificate_on_its_first_connection_and_asks_for_none(acme):
    first = acme.certify(A)
    acme.stop_authority()
    for _ in range(5):
        acme.stop_daemon()
        acme.launch_daemon()
        assert acme.certificate_of_first_connection(A) == first


def test_other_names_get_another_certificate_and_the_old_one_serves_until_then(acme):
    first = acme.certify(A)
    acme.stop_authority()
    acme.set_rules(A, "B.hook.test")
    failed = lambda: "no certificate was issued" in acme.log()
    wait_until("the daemon asks for the new names", failed, LIMIT)
    assert acme.certificate_of(A) == first
    # Another authority, which knows no account of the daemon's.
    acme.start_authority()
    acme.reload()
    second = acme.wait_for_certificate(B)
    assert second == acme.certificate_of(A) != first


def test_a_renewal_loses_no_request_even_with_a_broken_rules_file(acme, measured):
    # The shortest validity with room for two orders. A third of it is left when the renewal begins.
    first = acme.certify(A, validity=75)
    answered, lost, over = [], [], threading.Event()

    def send():
        while not over.is_set():
            try:
                answered.append(acme.certificate_of(A))
            except (OSError, AssertionError) as error:
                lost.append(error)
            time.sleep(0.1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        (acme.folder / "rules.yaml").write_text("rules: [\n")
        renewed = lambda: (digest := acme.certificate_of(A)) != first and digest
        second = wait_until("the certificate is renewed", renewed, LIMIT, NO_ANSWER)
    finally:
        over.set()
        sender.join()
    assert not lost, lost
    assert second != first
    measured(f"{len(answered)} requests answered during a renewal, 0 lost")


def test_an_authority_that_wants_a_customer_refuses_others_and_serves_its_own(acme):
    # The daemon has an account, which the next authority does not know.
    acme.certify(A)
    acme.stop_authority()
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    acme.secrets.append(key)
    acme.start_authority(externalAccountBindingRequired=True, externalAccountMACKeys={"kid-1": key})
    acme.set_rules(C)
    acme.wait_for_status("external")
    # With a binding, and on a port that asks clients for certificates as well.
    acme.set_rules(C, more=f"      eab: {{kid: kid-1, key: {key}}}\n    client_ca: authority.pem\n")
    acme.wait_for_certificate(C)
    acme.wait_until_well()


def test_a_certificate_that_cannot_be_stored_is_served_reported_and_stored_later(acme):
    acme.certify(C)
    stored = acme.certificate_file(C)
    pause = acme.folder / "acme" / "pause.json"
    # A folder in the place of the file: the certificate is missing, and no file can be written.
    stored.unlink()
    stored.mkdir()
    pause.unlink()
    acme.stop_daemon()
    issued = acme.issued()
    acme.start_daemon()
    reported = lambda: "the certificate cannot be kept: " in acme.status("--check")[1]
    wait_until("status reports it", reported, LIMIT)
    assert acme.issued() == issued + 1
    assert acme.certificate_of(C)
    # The next daemon stores what was issued, and asks for no other.
    stored.rmdir()
    pause.unlink()
    acme.stop_daemon()
    acme.start_daemon()
    wait_until("the certificate is stored", stored.is_file, LIMIT)
    assert acme.issued() == issued + 1
    acme.wait_until_well()


def test_a_name_that_leads_elsewhere_is_refused_and_the_certificate_stays(acme):
    first = acme.certify(C)
    acme.stop(acme.names)
    acme.set_rules(C, D)
    wait_until("status names the refused name", lambda: f"{D}: " in acme.status()[1], LIMIT)
    assert acme.certificate_of(C) == first
    assert acme.plain_status() == 200

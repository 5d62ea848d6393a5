"""TLS as OpenSSL sees it."""

import pytest


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_a_current_tls_is_spoken(edge, version):
    assert "Verify return code: 0 (ok)" in edge.handshake(f"-tls{version}")


@pytest.mark.parametrize("version", ["1", "1_1"])
def test_an_older_tls_is_refused(edge, version):
    # At security level 0, OpenSSL offers everything that it was built with.
    assert "Cipher is (NONE)" in edge.handshake(f"-tls{version}", "-cipher", "DEFAULT:@SECLEVEL=0")


SUITES = [
    "AES128-SHA",
    "AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "DES-CBC3-SHA",
    "NULL-SHA",
]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_of_tls_1_2_without_forward_secrecy_or_aead_is_refused(edge, suite):
    output = edge.handshake("-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
    assert any(refused in output for refused in ("Cipher is (NONE)", "no cipher match", "error")), output


@pytest.mark.parametrize(("offered", "chosen"), [("h2,http/1.1", "h2"), ("http/1.1", "http/1.1")])
def test_alpn_chooses_the_version_of_http(edge, offered, chosen):
    assert f"ALPN protocol: {chosen}" in edge.handshake("-alpn", offered)


def test_tls_does_not_compress(edge):
    output = edge.handshake("-tls1_2", "-no_ticket", "-legacy_renegotiation")
    assert "Compression: NONE" in output or "No compression" in output, output

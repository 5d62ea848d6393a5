"""Certificates for tests, made by OpenSSL."""

import subprocess

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(folder, *arguments):
    """The output of an `openssl` command that succeeds."""
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"openssl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def self_signed(folder, name, subject, *extensions):
    """Writes `name.pem` and `name.key`."""
    extended = [word for extension in extensions for word in ("-addext", extension)]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    openssl(folder, "req", "-x509", *NEW_KEY, "-days", "30", "-subj", subject, *extended, *files)
    (folder / f"{name}.key").chmod(0o600)


def issued(folder, name, subject, issuer, *extensions):
    """Writes `name.pem` and `name.key`; `issuer.pem` is the authority."""
    extended = [word for extension in ("basicConstraints=CA:FALSE", *extensions) for word in ("-addext", extension)]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
    openssl(folder, "req", *NEW_KEY, "-subj", subject, *extended, *files)
    request = ["-req", "-in", f"{name}.csr", "-copy_extensions", "copy", "-days", "30"]
    authority = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
    openssl(folder, "x509", *request, *authority, "-out", f"{name}.pem")
    (folder / f"{name}.key").chmod(0o600)

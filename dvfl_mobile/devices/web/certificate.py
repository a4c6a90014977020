"""A certificate of its own for one session: phones give a page WebGPU, hashes and threads only over TLS."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

from dvfl_mobile.errors import DeviceError, MissingDriverError

_MAKE_S = 60.0
_MOST_SHOWN = 400


class Certificate:
    """A certificate for one address, valid for two days, whose key goes with this process.

    Attributes:
        context: for a server.
        fingerprint: SHA-256 of it, as browsers show it.

    Raises:
        DeviceError: openssl doesn't make it.
        MissingDriverError: openssl isn't installed.
    """

    def __init__(self, host: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise MissingDriverError(
                "A page for a phone is encrypted, and there is no openssl here that makes a certificate.",
                hint="On Debian: apt install openssl. Or go by a cable: docs/web.md.",
            )
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
            key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
            command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            command += ["-days", "2", "-subj", "/CN=dvfl-mobile", "-addext", f"subjectAltName=IP:{host}"]
            command += ["-keyout", str(key), "-out", str(certificate)]
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_MAKE_S, check=False)
            if ended.returncode != 0:
                said = ended.stderr.decode("utf-8", errors="replace").strip()[-_MOST_SHOWN:]
                raise DeviceError(f"openssl makes no certificate for {host}.", hint=said)
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.minimum_version = ssl.TLSVersion.TLSv1_2
            self.context.load_cert_chain(certificate, key)
            digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))).hexdigest()
        self.fingerprint = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()

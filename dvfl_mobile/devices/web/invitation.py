"""What is shown to whoever is to open the page: its address, as text and as a QR code."""

from __future__ import annotations

import io

from dvfl_mobile.devices.web.certificate import Certificate


def invitation(address: str, port: int, certificate: Certificate | None, phone: str = "") -> str:
    """A few lines for a terminal.

    Args:
        phone: the device whose port leads here, as adb did it; empty: none.
    """
    where = f"on {phone}" if phone else "in a browser"
    lines = [f"Open this page {where}, and keep it in front:", "", f"    {address}", ""]
    if (certificate is not None or phone) and (drawn := _code(address)):
        lines.append(drawn)
    if phone:
        lines.append(f"Its port {port} leads here, over its cable.")
    elif certificate is not None:
        lines += [
            "The browser warns of a certificate that nobody has signed: it was made for this session. Its SHA-256 is",
            f"    {certificate.fingerprint}",
        ]
    else:
        lines += [
            "Only this machine reaches it. A phone on a cable does too, after:",
            f"    adb reverse tcp:{port} tcp:{port}",
        ]
    return "\n".join([*lines, ""])


def _code(text: str) -> str:
    """A QR code in characters; empty where segno isn't installed."""
    try:
        import segno
    except ImportError:
        return ""
    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out=drawn, compact=True, border=2)
    return drawn.getvalue()

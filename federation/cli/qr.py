"""A text as a QR code, for a terminal."""

import io


def qr_code(text: str) -> str:
    """Draw a text as a QR code (ISO/IEC 18004) in half blocks, for a terminal."""
    import segno  # noqa: PLC0415 - with it come HTTP, TLS and XML, and few commands draw

    drawing = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawing, compact=True)
    return drawing.getvalue()

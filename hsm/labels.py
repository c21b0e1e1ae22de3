"""Labels: the names that people and programs give to tokens and keys."""

from hsm.errors import LabelInvalid

MAX_TOKEN_LABEL_BYTES = 32  # CK_TOKEN_INFO.label is 32 bytes, padded with blanks
MAX_KEY_LABEL_BYTES = 128


def checked_label(label: str, *, max_bytes: int = MAX_KEY_LABEL_BYTES) -> str:
    """Return the label, or raise `LabelInvalid` if it is empty, too long, unprintable or blank at an end."""
    if not label or not label.isprintable() or label != label.strip():
        raise LabelInvalid("A label has to be printable text without blanks at its ends.")
    if len(label.encode()) > max_bytes:
        raise LabelInvalid(f"A label may have at most {max_bytes} bytes.")
    return label

"""The image store: bytes as fetched in, chunk manifest and blob out (DESIGN 6).

Order of trust: the digest of the bytes is compared before any parser sees them; the format is
sniffed and must be the declared one; whatever names another file is refused; the conversion runs in
a limited process; nodes get chunks with digests and never parse an image.
"""

"""
The text tower: texts in, unit vectors of one space out.

    from star_features.text.encoder import TextEncoder
    from star_features.text.settings import EncoderSettings

    encoder = TextEncoder.load(EncoderSettings())
    encoder.encode(["data engineer in Utrecht"], "member").vectors_ND

Importing this package is cheap; torch comes with `star_features.text.encoder`.
"""

from star_features.text.settings import EncoderSettings, Side, SideSettings

__all__ = ["EncoderSettings", "Side", "SideSettings"]

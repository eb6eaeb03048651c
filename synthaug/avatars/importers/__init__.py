"""Avatars made elsewhere turned into packs: one file a format."""

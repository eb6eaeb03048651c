"""Training and testing of a recognizer: the LightningModule, loops, mixing of clips, an optimizer."""

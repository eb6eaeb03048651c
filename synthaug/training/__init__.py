"""How a recognizer is trained: the LightningModule, its loops, mixing and optimizers."""

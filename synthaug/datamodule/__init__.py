"""Filmed and synthetic clips, mixed into batches: the drop-in LightningDataModule."""

from synthaug.datamodule.module import Loading as Loading
from synthaug.datamodule.module import SynthAugDataModule as SynthAugDataModule
from synthaug.datamodule.order import BatchMixture as BatchMixture

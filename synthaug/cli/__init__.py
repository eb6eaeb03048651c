"""The `synthaug` command: one file a command, and `configs`, which alone composes configurations."""

"""The `synthaug` command: one file a command; `configs` alone composes configurations."""

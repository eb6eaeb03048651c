"""The `synthaug` command: one file for each command. Only `configs` composes configurations."""

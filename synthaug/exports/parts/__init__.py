"""What all layouts are made of: clips rendered to files, their columns, the walk over all of them, and the card."""

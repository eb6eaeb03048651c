"""The gallery of a run: a page and small films by which a person finds and marks bad motions and clips."""

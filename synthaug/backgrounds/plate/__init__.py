"""Parts of filmed plates: how people are removed from film."""

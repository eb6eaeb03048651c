"""Parts of filmed plates: how people are taken out of film."""

"""Parts of pictures: their depth, their floor, free spots on it, and words for what they show."""

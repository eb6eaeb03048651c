"""Parts of the procedural people: figure, skin, garments, fabric and hair."""

"""Parts of the procedural rooms: layout, furniture, textures, lights and the ray caster."""

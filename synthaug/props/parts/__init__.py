"""Parts of things: surfaces of Gaussians, how they lie in hands, what carries a body, what classes hold."""

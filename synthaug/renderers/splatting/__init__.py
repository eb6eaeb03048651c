"""Parts of the renderers: compiled kernels, their gradients, refinement, building, and checks of the input."""

"""Parts of the renderers: compiled kernels, their gradients, refinement, and checks of what is rendered."""

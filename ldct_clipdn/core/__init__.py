"""The paper's network and what measures images: torch and numpy, tensors in [0, 1]."""

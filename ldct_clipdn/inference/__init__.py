"""HU array in, HU array out."""

"""The paper's tables and figures, and our proof: one file per family."""

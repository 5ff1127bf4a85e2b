"""What the bundles compose to train."""

"""Medical files to scans and back."""

"""Feeds training and evaluation."""

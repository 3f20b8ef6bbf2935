"""Recipes: what is done to a host, in which order, on one screen."""

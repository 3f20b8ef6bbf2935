"""Drivers: one family or vendor per file; facts are command and parser, operations give changes."""

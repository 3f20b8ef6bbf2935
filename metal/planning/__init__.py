"""Pure planning: observed, wished, the difference, the plan, and whether it may run.

Frozen values in, frozen values out; no clock, no I/O. Omicron's first principle: a plan is so
specific that applying leaves no choice.
"""

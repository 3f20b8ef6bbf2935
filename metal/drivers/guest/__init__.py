"""The deployed system, running or mounted: facts in one reading, each operation in one write.

A write costs a round trip and an interpreter's start in the machine (half a second under emulation),
so an operation is a `Document`: accounts, files, links and removals that the constant program
`agent.py` carries out together.
"""

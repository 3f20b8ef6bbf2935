"""The rack's own BMC.

One state behind the in-band wire (KCS) and the LAN (RMCP+), with power, boot order and serial console.
"""

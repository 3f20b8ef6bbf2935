"""The rack's own BMC: one state behind the in-band wire (KCS) and the LAN (RMCP+), power, boot order and console."""

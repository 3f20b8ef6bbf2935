"""The edge of one site: DHCP, TFTP, boot HTTP, the REST API and the registry, in one process.

It is the only writer of the registry, and imports neither Prefect nor any client of machines: it
creates and watches flow runs over Prefect's REST API.
"""

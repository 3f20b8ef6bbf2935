"""`rackflow doctor`: a site as a machine would see it, and in words what is wrong and what to do next.

Each topic has its file. A check reads `Surroundings`, touches the world, and gives findings; what it
judges with is pure. Clients are other people's code on purpose (pyroute2 for DHCP, tftpy for TFTP): an
answer that only our own client understands is no answer.
"""

"""The registry of a site: hosts, addresses, jobs, leases, journal, secrets; the edge is its only writer.

Modules here are repositories: functions over an open Session, one topic each. Rules live in
`pxe_edge.jobs` and `pxe_edge.discovery`; this package only remembers.
"""

"""`rackflow up`: all parts of a site on this machine, kept running, ended cleanly."""

"""What ipmitool prints, as values: a module per command.

Its texts are tables for people: `Key : value` lines padded with blanks, names it does not know as
"Unknown (0x…)", usable output with exit status 1, and errors as sentences on stdout. A text without
one line that belongs to it is refused; addresses of zeros are no addresses.
"""

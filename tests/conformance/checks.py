"""Every check, numbered: ALL."""
from conformance import h1_connection, h1_fields, h1_framing, h1_host, h1_rebuild, \
    h1_request_line, h1_response, h2_heads

ALL = [check for module in (h1_request_line, h1_host, h1_fields, h1_framing, h1_connection,
                            h1_response, h1_rebuild, h2_heads) for check in module.CHECKS]
for number, check in enumerate(ALL):
    check.number = number
names = [check.name for check in ALL]
assert len(set(names)) == len(names), [n for n in names if names.count(n) > 1]

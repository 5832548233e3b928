"""All tricks of hostile servers by protocol. A group has at most eight tricks, because a test
probes eight targets at once. A trick is a function that gets an accepted connection or a DNS query.
Add a new trick to the module of its protocol, and its probe to the table there."""

from __future__ import annotations

from hostile import buckets, databases, name_servers, tls, web
from hostile.trick import Trick

TRICKS: dict[str, dict[str, Trick]] = {
    "databases": databases.TRICKS,
    "http": web.HTTP,
    "json": web.JSON,
    "prometheus": web.PROMETHEUS,
    "relay": web.RELAY,
    "dns": name_servers.TRICKS,
    "names": name_servers.NAMES,
    "late-names": name_servers.LATE_NAMES,
    "s3": buckets.TRICKS,
    "tls-handshakes": tls.HANDSHAKES,
    "tls-costly": tls.COSTLY,
    "tls-records": tls.RECORDS,
}

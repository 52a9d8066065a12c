"""Who may do what on the brokers: the one place from which ACL files, documentation and tests are made."""

from __future__ import annotations

from maskwatch.rights.grants import ENDPOINTS, PLACES, Endpoint, Grant, Place, Role, rules
from maskwatch.rights.roles import ROLES, gateway
from maskwatch.rights.topology import FORMS, Topology, fitted

__all__ = [
    "ENDPOINTS",
    "FORMS",
    "PLACES",
    "ROLES",
    "Endpoint",
    "Grant",
    "Place",
    "Role",
    "Topology",
    "fitted",
    "gateway",
    "rules",
]

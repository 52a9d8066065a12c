"""Who may do what on the brokers: the one place from which ACL files, documentation and tests are made."""

from __future__ import annotations

from maskwatch.rights.grants import ENDPOINTS, Endpoint, Grant, Role, rules
from maskwatch.rights.roles import ROLES, gateway

__all__ = ["ENDPOINTS", "ROLES", "Endpoint", "Grant", "Role", "gateway", "rules"]

"""The front door: who may call what. Asked before anything of a request is read but its head."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest

from shoal.core.restricted_api import Feature, Restrictions
from shoal.gateway.access.caller import Caller
from shoal.gateway.access.errors import Forbidden, Restricted, Unauthenticated
from shoal.gateway.access.keyring import Keyring
from shoal.gateway.access.operations import Operation


class Access:
    """The rules of one gateway process, whose protocol calls what it restricts `feature`. `keyring` None: nobody needs
    a key."""

    def __init__(self, restrictions: Restrictions, feature: Feature, keyring: Keyring | None = None) -> None:
        self._restrictions = restrictions
        self._refusal = "This API" if feature == "api" else "This protocol"
        self._keyring = keyring
        #: Whether everybody may call everything: nobody need be asked.
        self.is_open = keyring is None and not restrictions

    def admit(self, operation: Operation, metadata: Mapping[bytes, bytes]) -> Caller | None:
        """Who calls; None where that does not matter. The names in `metadata` are in lower case.

        Raises Unauthenticated or Forbidden for want of a key, Restricted for want of the category's header; all the
        same for models that exist and models that do not.
        """
        caller = None if self._keyring is None else self._identify(self._keyring, operation, metadata)
        restriction = self._restrictions.get(operation.category)
        if restriction is not None:
            given = metadata.get(restriction.header.lower().encode(), b"")
            if not compare_digest(given, restriction.value.encode()):
                raise Restricted(f"{self._refusal} is restricted, expecting header '{restriction.header}'")
        return caller

    def _identify(self, keyring: Keyring, operation: Operation, metadata: Mapping[bytes, bytes]) -> Caller | None:
        try:
            caller = keyring.find(metadata)
        except Unauthenticated:
            if operation.is_open and keyring.is_health_open:
                return None
            raise
        if operation.scope is not None and operation.scope not in caller.key.scopes:
            raise Forbidden(f"API key '{caller.key.name}' lacks the scope '{operation.scope}'", operation.scope)
        return caller


OPEN = Access({}, "api")

"""What a gateway process takes on at once, unless its options say otherwise."""

from __future__ import annotations

#: Requests in flight.
MAX_REQUESTS = 16_384
#: Bytes of request bodies in flight; also what one request may have at most.
MAX_BYTES = 256 * 1024 * 1024
#: Dimensions of a tensor: more than any framework takes. The product of a million of them would take hours to compute.
MAX_RANK = 256
#: The largest message that gRPC can carry.
MESSAGE_LIMIT_BYTES = 2**31 - 1

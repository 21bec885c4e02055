"""The bodies of requests: read whole, within the limits of the address and of the memory of this process."""

from __future__ import annotations

from io import BytesIO
from typing import NoReturn

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wrappers import Request as HttpRequest

from dmp_fhir.limits.underway import Room
from dmp_fhir.outcome import refuse

# Up to this an announced body is taken without asking whether there is room for it.
PIECE = 1 << 20
RETRY_S = 5


def read_body(request: HttpRequest, limit: int, room: Room) -> bytes:
    """The body. Refused: 413 from its announced length, or as soon as one byte too many came (TF-198); 408 when the
    client stopped sending (TF-224); 503 while others fill the room."""
    # A body without length is cut in silence where werkzeug's limit is: one more byte is let in, and tells.
    request.max_content_length = limit + 1
    announced = request.content_length
    try:
        if announced is not None and announced <= PIECE:
            body = request.get_data(cache=False)
        else:
            body = _by_pieces(request, limit, room)
    except RequestEntityTooLarge:
        _too_long(limit)
    except ClientDisconnected:
        _incomplete()
    if len(body) > limit:
        _too_long(limit)
    if len(body) < (announced or 0):
        _incomplete()
    return body


def _by_pieces(request: HttpRequest, limit: int, room: Room) -> bytes:
    """A body that is large, or does not say how long it is; what is over the limit is left where it is."""
    body = BytesIO()  # hands out what it holds without a second copy
    taken = 0
    try:
        while taken <= limit and (piece := request.stream.read(PIECE)):
            if not room.take(len(piece)):
                _full()
            taken += len(piece)
            body.write(piece)
        return body.getvalue()
    finally:
        room.give(taken)


def _too_long(limit: int) -> NoReturn:
    refuse(413, "too-long", f"Le corps dépasse {limit} octets.", f"The body is over {limit} bytes.", rule="TF-198")


def _incomplete() -> NoReturn:
    refuse(
        408,
        "timeout",
        "Le corps n'est pas arrivé en entier : renvoyez la requête.",
        "The body did not come whole: send the request again.",
        rule="TF-224",
        headers=(("Connection", "close"),),
    )


def _full() -> NoReturn:
    refuse(
        503,
        "throttled",
        "Trop de grands corps arrivent en même temps : attendez le délai de Retry-After.",
        "Too many large bodies come at the same time: wait for the time in Retry-After.",
        rule="TF-222",
        headers=(("Retry-After", str(RETRY_S)), ("Connection", "close")),
    )

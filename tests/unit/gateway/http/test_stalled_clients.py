from __future__ import annotations

from shoal.gateway.http.stalled_clients import SILENCE_S, StalledClients


class Connection:
    def __init__(self, heard_at: float, waits_for_client: bool = True) -> None:
        self.heard_at = heard_at
        self.waits_for_client = waits_for_client
        self.is_closed = False

    def give_up(self) -> None:
        self.is_closed = True


def test_a_client_that_stops_in_the_middle_of_a_request_is_given_up() -> None:
    stopped, recent = Connection(heard_at=10), Connection(heard_at=11)
    StalledClients([stopped, recent]).give_up(10.5 + SILENCE_S)
    assert (stopped.is_closed, recent.is_closed) == (True, False)


def test_a_client_that_waits_for_us_is_left_alone() -> None:
    waiting = Connection(heard_at=0, waits_for_client=False)
    StalledClients([waiting]).give_up(10 * SILENCE_S)
    assert not waiting.is_closed


def test_connections_may_leave_while_they_are_closed() -> None:
    connections: set[Connection] = set()

    class Leaving(Connection):
        def give_up(self) -> None:
            super().give_up()
            connections.discard(self)

    given = [Leaving(heard_at=0), Leaving(heard_at=0)]
    connections.update(given)
    StalledClients(connections).give_up(2 * SILENCE_S)
    assert not connections and all(connection.is_closed for connection in given)

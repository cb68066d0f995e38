from __future__ import annotations

from shoal.scheduler.claims import Block, Bytes, Claims, Credit, Stream


def test_a_claim_is_over_with_its_last_user_and_once() -> None:
    claims = Claims()
    block = Block("e", 7)
    claim = claims.begin(block)
    claims.hold([claim, claim])
    claims.drop([claim, claim])
    assert (claims.has(block), claims.take_over()) == (True, [])
    claims.drop([claim])
    assert (claims.has(block), claims.has_news) == (False, True)
    assert (claims.take_over(), claims.take_over(), claims.has_news) == ([block], [], False)


def test_a_block_may_be_claimed_again_after_it_was_released() -> None:
    claims = Claims()
    for _ in range(2):
        claims.drop([claims.begin(Block("e", 7))])
        assert claims.take_over() == [Block("e", 7)]


def test_bytes_are_summed_while_they_are_kept() -> None:
    claims = Claims()
    first, second = claims.begin(Bytes(10)), claims.begin(Bytes(5))
    assert claims.nbytes == 15
    claims.drop([first])
    assert (claims.nbytes, claims.take_over()) == (5, [])
    claims.drop([second])
    assert claims.nbytes == 0


def test_the_credit_of_a_stream_is_told() -> None:
    claims, stream = Claims(), Stream("e", 3)
    claims.drop([claims.begin(Credit(stream, 0))])
    assert claims.take_over() == [Credit(stream, 0)]


def test_a_stream_is_taken_up_to_the_first_response_that_is_in_use() -> None:
    stream = Stream("e", 3)
    assert (stream.finish(1), stream.taken) == (False, -1)
    assert (stream.finish(0), stream.taken) == (True, 1)
    assert (stream.finish(2), stream.taken) == (True, 2)

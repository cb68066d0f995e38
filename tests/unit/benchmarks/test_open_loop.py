from open_loop import Answers, post


def test_a_request_is_whole() -> None:
    request = post("h", 1, "/p", b"body").request
    assert request == b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"


def test_percentiles_are_those_of_accepted_requests() -> None:
    answers = Answers(latencies_s=[number / 1000 for number in range(100)])
    answers.statuses.update({200: 100, 429: 7})
    assert (answers.accepted, answers.percentile_ms(50), answers.percentile_ms(99)) == (100, 50.0, 99.0)
    assert Answers().percentile_ms(99) == 0.0

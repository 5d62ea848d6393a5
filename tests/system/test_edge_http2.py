"""HTTP/2 and HTTP/1.1 as curl and h2load see them."""

import re

import pytest
from programs import needs

CLIENT = ("--cert", "client.pem", "--key", "client.key")
CHUNKED = ("--header", "Transfer-Encoding: deflate, chunked")


@pytest.mark.parametrize(
    ("expected", "path", "arguments"),
    [
        pytest.param("200 2", "/open", ["--http2"], id="http2"),
        pytest.param("200 1.1", "/open", ["--http1.1"], id="http1"),
        pytest.param("404 2", "/none", ["--http2"], id="no endpoint"),
        pytest.param("403 2", "/ci", [], id="no client certificate"),
        pytest.param("200 2", "/ci", CLIENT, id="client certificate"),
        pytest.param("200 2", "/%6fpen", ["--http2"], id="percent-encoded o is o"),
        pytest.param("404 2", "/%4Fpen", ["--http2"], id="percent-encoded O is not o"),
        pytest.param("501 1.1", "/open", ["--http1.1", *CHUNKED], id="transfer coding"),
    ],
)
def test_a_request_is_answered(edge, expected, path, arguments):
    assert edge.answer(*arguments, edge.url + path) == expected


def test_an_early_answer_arrives_while_the_body_is_being_sent(edge, measured):
    (edge.folder / "large").write_bytes(bytes(2_000_000))
    large = ["--data-binary", "@large"]
    no_expect = ["--http1.1", "--header", "Expect:"]
    rounds = 20
    for _ in range(rounds):
        assert edge.answer("--http2", f"{edge.url}/none") == "404 2"
        assert edge.answer("--http2", *large, f"{edge.url}/open") == "413 2"
        assert edge.answer(*no_expect, *large, f"{edge.url}/open") == "413 1.1"
    assert edge.answer("--http1.1", *large, f"{edge.url}/open") == "413 1.1"
    measured(f"{rounds} rounds")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_the_answer_to_head_names_a_length_and_has_no_body(edge, version):
    # curl fails if the answer has a body.
    output = edge.curl("--head", version, f"{edge.url}/open")
    assert re.search(r"^HTTP/[0-9.]+ 200", output, re.MULTILINE), output
    assert re.search(r"^content-length: [1-9]", output, re.MULTILINE | re.IGNORECASE), output


@pytest.fixture
def many(edge):
    """2000 requests over 20 connections with 50 streams each."""
    needs("h2load")
    (edge.folder / "body.json").write_text('{"n": 1}')
    counts = ["--requests=2000", "--clients=20", "--max-concurrent-streams=50"]
    body = ["--data=body.json", "--header=content-type: application/json"]
    return lambda path: edge.h2load(*counts, *body, edge.url + path)


def line(output, beginning):
    return next(line for line in output.splitlines() if line.startswith(beginning))


def test_many_streams_at_once_are_all_answered(many, measured):
    output = many("/open")
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in output, output
    measured(line(output, "finished in"))


def test_bodies_of_many_frames_wait_for_memory(edge, measured):
    # Together the bodies are larger than what may be in memory.
    needs("h2load")
    (edge.folder / "half").write_text("x" * 500_000)
    counts = ["--requests=400", "--clients=20", "--max-concurrent-streams=10"]
    output = edge.h2load(*counts, "--data=half", f"{edge.url}/open")
    assert re.search("400 done.* 0 errored, 0 timeout", output), output
    assert re.search("status codes: [1-9][0-9]* 2xx, 0 3xx, 0 4xx", output), output
    measured(line(output, "status codes"))


def test_a_rate_limit_holds_for_streams_that_arrive_at_once(edge, many):
    # One of the ten is taken before.
    edge.answer(f"{edge.url}/limited")
    output = many("/limited")
    assert "status codes: 9 2xx, 0 3xx, 1991 4xx, 0 5xx" in output, output

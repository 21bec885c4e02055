"""docs/exchanges.md and the collections of requests are what the server answers today."""

from __future__ import annotations

import json

import pytest

from tools import describe_exchanges as page


@pytest.fixture(scope="module")
def ran() -> list[page.Ran]:
    return page.run()


def test_the_page_is_what_the_server_answers(ran: list[page.Ran]) -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(ran), "run: python tools/describe_exchanges.py"


def test_the_collections_are_of_the_same_requests() -> None:
    assert page.HTTP_FILE.read_text(encoding="utf-8") == page.http_file()
    assert page.POSTMAN.read_text(encoding="utf-8") == page.postman()
    items = json.loads(page.postman())["item"]
    assert [each["name"] for each in items] == [each.title for each in page.EXCHANGES]


def test_every_request_went_as_its_title_says(ran: list[page.Ran]) -> None:
    refused = {"TD3.3a · mask, refused": "403", "What is hidden is not there": "404", "No token": "401"}
    refused |= {"A parameter that does not exist": "400"}
    found = {one.exchange.title: one.status[:3] for one in ran}
    assert {title: status for title, status in found.items() if not status.startswith("2")} == refused

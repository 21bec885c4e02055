from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.profiles.narrative import read_div, write_div
from tests.support.resources import TEXTS

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


@pytest.mark.parametrize(
    "content",
    [
        "text",
        "<p>a<br/>b</p>",
        '<table class="grid"><tbody><tr><td colspan="2">a</td></tr></tbody></table>',
        '<a href="https://example.org/?a=1&amp;b">x</a>',
        '<a href="#here">x</a>',
        '<a href="Patient/a.html">x</a>',
        '<a href="mailto:a@example.org">x</a>',
        '<img src="data:image/png;base64,QQ=="/>',
        '<p xml:lang="fr" style="font-weight: bold">a</p>',
        "a &amp; b &lt; c",
    ],
)
def test_narratives_that_show_text(content):
    assert write_div(read_div(DIV.format(content))) == DIV.format(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<div>a</div>",
        DIV.format(""),
        DIV.format("  "),
        DIV.format("<script>a</script>"),
        DIV.format("<style>a</style>"),
        DIV.format("<form>a</form>"),
        DIV.format("<iframe>a</iframe>"),
        DIV.format("<object>a</object>"),
        DIV.format('<svg xmlns="http://www.w3.org/2000/svg">a</svg>'),
        DIV.format('<p onclick="a">a</p>'),
        DIV.format('<a href="javascript:alert(1)">a</a>'),
        DIV.format('<a href=" JaVaScRiPt:alert(1)">a</a>'),
        DIV.format('<a href="java&#10;script:alert(1)">a</a>'),
        DIV.format('<a href="vbscript:a">a</a>'),
        DIV.format('<img src="data:text/html;base64,QQ=="/>'),
        DIV.format('<img src="data:image/svg+xml;base64,QQ=="/>'),
        DIV.format('<a href="file:///etc/passwd">a</a>'),
        DIV.format('<p style="background: url(http://a)">a</p>'),
        DIV.format('<p style="width: expression(a)">a</p>'),
        DIV.format('<x:p xmlns:x="urn:x">a</x:p>'),
        DIV.format("<P>a</P>"),
        DIV.format("&nbsp;"),
        DIV.format("<p>a"),
        DIV.format("<?php a?>"),
        DIV.format("<![CDATA[a]]>"),
        "<!DOCTYPE div>" + DIV.format("a"),
        DIV.format("<b>" * 70 + "a" + "</b>" * 70),
        DIV.format("a\x00"),
        DIV.format("\ud800"),
    ],
)
def test_narratives_that_are_refused(text):
    with pytest.raises(ValueError):
        read_div(text)


@given(TEXTS)
def test_text_comes_back(text):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    assert write_div(read_div(DIV.format("x" + escaped))) == DIV.format("x" + escaped)


@given(st.text(max_size=30))
def test_what_is_accepted_is_written_once_and_for_all(text):
    try:
        written = write_div(read_div(DIV.format(text)))
    except ValueError:
        return
    assert write_div(read_div(written)) == written

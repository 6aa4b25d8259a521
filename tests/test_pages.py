"""What all pages share: escaping, and digests that a browser accepts."""

from __future__ import annotations

import base64
import hashlib

import jinja2
import pytest

from motive.pages import asset, environment, source_digest, trusted


def test_what_templates_are_given_is_escaped_unless_it_is_ours():
    template = environment("report").from_string("{{ theirs }} {{ ours }}")
    assert template.render(theirs="<b>", ours=trusted("<i>")) == "&lt;b&gt; <i>"


def test_a_name_that_is_missing_is_an_error_and_not_an_empty_place():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        environment("report").from_string("{{ title }}").render()


def test_filters_belong_to_one_environment():
    assert environment("report", twice=lambda x: 2 * x).from_string("{{ 4|twice }}").render() == "8"
    with pytest.raises(jinja2.TemplateAssertionError, match="twice"):
        environment("report").from_string("{{ 4|twice }}")


def test_a_digest_names_a_script_as_browsers_do():
    text = asset("report", "script.js")
    expected = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
    assert source_digest(text) == f"'sha256-{expected}'"

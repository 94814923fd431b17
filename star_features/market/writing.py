"""
What members and jobs show of themselves: texts made of real ESCO and posting texts, and the skill
lists. Both are noisy and incomplete, as profiles are; the latents stay hidden.

    table = member_table(settings, landscape, jobs, members, block)     # one block, as Arrow
    table = job_table(settings, landscape, postings, jobs, start, stop)

A job says its title, company, department, location and a few skills. A member says his occupation
(or only describes it), his seniority, city and wishes, and some of his skills; one in six says
hardly anything. What his field is, and where he lives, are columns too; his occupation is not.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from star_features.market import reading
from star_features.market.jobs import PLACE_VALUES, Jobs
from star_features.market.landscape import Landscape
from star_features.market.members import Members
from star_features.market.settings import MarketSettings
from star_features.market.sources import Entry, Posting
from star_features.market.streams import JOB_TEXTS, MEMBER_TEXTS, stream

TIME = pa.timestamp("us", tz="UTC")
SHOWN_IN_TEXT, SHOWN_IN_LIST = 0.4, 0.55
SAYS_LITTLE, SAYS_NO_TITLE = 0.16, 0.25
LONGEST_DEFINITION = 240
LEVEL_WORDS = (
    ("Recent graduate", "Entry-level", "Junior"),
    ("Experienced", "Professional", "Several years as"),
    ("Senior", "Sr.", "Seasoned"),
    ("Lead", "Principal", "Staff-level"),
    ("Team manager,", "Manager of a team,", "People manager,"),
    ("Director,", "Head of department,", "Executive,"),
)
STEP_UP = ("Ready for the next step up.", "Looking for a more senior role.", "I want to grow.")
REMOTE_WISH = ("Remote only, please.", "I work from home.", "Open to remote positions.")
JOB_ASKS = ("We ask for", "You bring", "What you will do:")


def member_id(number: int) -> str:
    return f"m{number:07d}"


def job_id(number: int) -> str:
    return f"j{number:07d}"


def member_table(
    settings: MarketSettings, landscape: Landscape, jobs: Jobs, members: Members, block: int
) -> pa.Table:
    """The canonical member rows of one block."""
    draw = stream(settings.seed, MEMBER_TEXTS, block)
    names = [skill.label for skill in landscape.skills]
    texts = [member_text(landscape, names, members, row, draw) for row in range(len(members))]
    return pa.table(
        {
            "member_id": [member_id(members.first + row) for row in range(len(members))],
            "text": texts,
            "updated_at": pa.array(members.joined_M, TIME),
            "seniority": [reading.SENIORITIES[level] for level in members.seniority_M],
            "place": [PLACE_VALUES[place] for place in members.place_M],
            "field": [jobs.categories[field] for field in members.field_M],
            "skills": skill_lists(names, members.skills_MS, draw),
        }
    )


def member_text(
    landscape: Landscape, names: list[str], members: Members, row: int, draw: np.random.Generator
) -> str:
    """One profile; what a member leaves out is drawn, so the same latents may read differently."""
    entry = landscape.occupations[members.occupation_M[row]]
    level = pick(LEVEL_WORDS[members.seniority_M[row]], draw)
    city = reading.CITIES[members.city_M[row]][0]
    if draw.random() < SAYS_LITTLE:
        return f"{level} {entry.label.split()[-1]}, {city}."
    known = [names[skill] for skill in some(members.skills_MS[row], SHOWN_IN_TEXT, draw)]
    said = [headline(entry, level, city, draw)]
    said += [f"Skills: {', '.join(known)}."] if known else []
    said += [pick(STEP_UP, draw)] if members.aim_M[row] > members.seniority_M[row] else []
    said += [pick(REMOTE_WISH, draw)] if members.remote_M[row] else []
    return " ".join(said)


def headline(entry: Entry, level: str, city: str, draw: np.random.Generator) -> str:
    """Level, occupation and city, then what such people do; some describe and never name it."""
    does = entry.definition.split(". ")[0].rstrip(".")[:LONGEST_DEFINITION]
    if draw.random() < SAYS_NO_TITLE and does:
        return f"{level} specialist in {city}. {does}."
    return f"{level} {entry.label} in {city}. {does}."


def job_table(
    settings: MarketSettings,
    landscape: Landscape,
    postings: tuple[Posting, ...],
    jobs: Jobs,
    start: int,
    stop: int,
) -> pa.Table:
    """The canonical job rows from `start` to `stop`; `start` also names their random stream."""
    draw = stream(settings.seed, JOB_TEXTS, start)
    names = [skill.label for skill in landscape.skills]
    part = slice(start, stop)
    said = [postings[row] for row in jobs.posting_J[part]]
    asked = [
        [names[skill] for skill in some(row, SHOWN_IN_TEXT, draw)] for row in jobs.skills_JS[part]
    ]
    return pa.table(
        {
            "job_id": [job_id(number) for number in range(start, start + len(said))],
            "text": [
                job_text(post, skills, draw) for post, skills in zip(said, asked, strict=True)
            ],
            "updated_at": pa.array(jobs.opened_J[part], TIME),
            "company_id": [company_id(post.company) for post in said],
            "seniority": [reading.SENIORITIES[level] for level in jobs.seniority_J[part]],
            "place": [PLACE_VALUES[place] for place in jobs.place_J[part]],
            "category": [post.category for post in said],
            "skills": skill_lists(names, jobs.skills_JS[part], draw),
        }
    )


def job_text(post: Posting, skills: list[str], draw: np.random.Generator) -> str:
    """One posting as a reader sees it, with some of the skills that it asks for."""
    said = [f"{post.title} at {post.company}."]
    said += [f"Department: {post.department}."] if post.department else []
    said += [f"Location: {post.location}."] if post.location else []
    said += [f"{pick(JOB_ASKS, draw)} {', '.join(skills)}."] if skills else []
    return " ".join(said)


def company_id(name: str) -> str:
    """`Delivery Hero` is `delivery_hero`."""
    return "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def skill_lists(
    names: list[str], skills_NS: NDArray[np.int32], draw: np.random.Generator
) -> pa.Array:
    """Some of the true skills, and for one in four a skill that is not there."""
    lists = []
    for row in skills_NS:
        listed = [names[skill] for skill in some(row, SHOWN_IN_LIST, draw)]
        listed += [names[draw.integers(len(names))]] if draw.random() < 0.25 else []
        lists.append(sorted(set(listed)))
    return pa.array(lists, pa.list_(pa.string()))


def some(row_S: NDArray[np.int32], share: float, draw: np.random.Generator) -> NDArray[np.int32]:
    """Each one with this probability."""
    return row_S[draw.random(len(row_S)) < share]


def pick(words: tuple[str, ...], draw: np.random.Generator) -> str:
    return words[int(draw.integers(len(words)))]

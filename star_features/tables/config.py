"""
What a `dataset.toml` may say: which file and which column is which, where names differ.

    timezone = "Europe/Berlin"
    [members]
    file = "people.csv"
    member_id = "person"                       # a plain rename
    text = ["headline", "about"]               # several columns joined into one text
    updated_at = { value = "2024-01-01" }      # one constant for every row
    lists = { skills = ";" }                   # a separated list in a CSV value

Every key has a default, so tables with canonical names need no file at all. An unknown key is an
error that lists the known ones.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator

from star_features.errors import UsageError
from star_features.files import Settings

FILE = "dataset.toml"


class Constant(Settings):
    """One value for every row."""

    value: Annotated[str, BeforeValidator(str)]
    """Any TOML scalar; kept as text."""


Column = str | Constant
TextColumn = str | tuple[str, ...] | Constant


class Csv(Settings):
    """How CSV files are written."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """What stands between two fields."""
    quote: str = Field(default='"', min_length=1, max_length=1)
    """What encloses a field that holds a delimiter or a line break."""
    encoding: str = "utf-8"
    """Any Python codec name, such as cp949 or latin-1."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError as error:
            raise ValueError(f"{name!r} is no known encoding") from error
        return name


class Limits(Settings):
    """Where a value stops being believable. Characters, not bytes."""

    max_text: int = Field(default=1_000_000, ge=1)
    """Longest text; a longer one goes to quarantine."""
    max_id: int = Field(default=1_000, ge=1)
    """Longest id, kind or relation."""
    max_list: int = Field(default=1_000, ge=1)
    """Most values in one list, such as the skills of one member."""
    max_list_value: int = Field(default=1_000, ge=1)
    """Longest value of a list: each is a node of the graph, and ids are held side by side."""
    first_year: int = 1970
    """Earliest year a time may lie in."""
    last_year: int = 2200
    """Latest year a time may lie in."""
    max_categories: int = Field(default=1_000, ge=1)
    """Most distinct values of a column that is categorical without being named."""
    chunk_rows: int = Field(default=20_000, ge=1)
    """Rows held in memory at once; the result does not depend on it."""

    @property
    def cut(self) -> int:
        """Characters of a value that are read: enough to see that it is too long."""
        return max(self.max_text, self.max_id, self.max_list_value, 1_000) + 1


class Join(Settings):
    """A further file with one row per member or job, whose columns are added."""

    file: str
    """The file (or DuckDB table) that holds the columns."""
    on: str
    """Its column that holds the key."""
    key: str | None = None
    """The column of the table it is joined to; the id column unless given."""


class Entity(Settings):
    """What members and jobs have in common."""

    file: str | None = None
    """File, glob of files or DuckDB table; by default the one named after the table."""
    text: TextColumn | None = None
    """The text, or the columns that are joined into it."""
    updated_at: Column | None = None
    """When the row became true."""
    time_format: str | None = None
    """strptime format, epoch_s or epoch_ms; ISO 8601 unless given."""
    categorical: tuple[str, ...] | None = None
    """Categorical columns; all plausible further columns unless given."""
    lists: dict[str, str] = Field(default_factory=dict)
    """Columns that hold separated lists, each with its separator."""
    ignore: tuple[str, ...] = ()
    """Columns never to read."""
    allow_empty_text: bool = False
    """Keep a row without text, with a null text, instead of putting it into quarantine."""
    join: tuple[Join, ...] = ()
    """Files whose columns are added to this table."""

    @field_validator("lists")
    @classmethod
    def _separated(cls, lists: dict[str, str]) -> dict[str, str]:
        if empty := [name for name, separator in lists.items() if not separator]:
            raise ValueError(f"the separator of {', '.join(empty)} is empty")
        return lists


class Members(Entity):
    member_id: Column | None = None
    """Unique id of the member."""


class Jobs(Entity):
    job_id: Column | None = None
    """Unique id of the job."""
    company_id: Column | None = None
    """Who offers it; may be absent."""


class Interactions(Settings):
    file: str | None = None
    """File, glob of files or DuckDB table."""
    member_id: Column | None = None
    """Who acted."""
    job_id: Column | None = None
    """On which job."""
    kind: Column | None = None
    """What was done: view, save, apply, … any word."""
    at: Column | None = None
    """When."""
    weight: Column | None = None
    """How much it counts; 1 unless given."""
    label: Column | None = None
    """1 taken, 0 shown and not taken; 1 unless given."""
    time_format: str | None = None
    """strptime format, epoch_s or epoch_ms; ISO 8601 unless given."""
    kind_weights: dict[str, float] = Field(default_factory=dict)
    """Weight by kind, for rows that bring none of their own."""


class Edges(Settings):
    file: str | None = None
    """File, glob of files or DuckDB table. Several `[[edges]]` may each name their own."""
    src_type: Column | None = None
    """Node type the edge starts from: member, job or any word."""
    src_id: Column | None = None
    """Id of the start."""
    relation: Column | None = None
    """What the edge says: any word."""
    dst_type: Column | None = None
    """Node type the edge leads to; one without a table of its own is implied."""
    dst_id: Column | None = None
    """Id of the end."""
    at: Column | None = None
    """Since when; may be absent."""
    time_format: str | None = None
    """strptime format, epoch_s or epoch_ms; ISO 8601 unless given."""


class Node(Settings):
    file: str | None = None
    """File, glob of files or DuckDB table."""
    id: Column | None = None
    """Unique id; the column `<type>_id` unless given."""
    text: TextColumn | None = None
    """What the node is called; may be absent."""


class DatasetConfig(Settings):
    """The whole of a dataset.toml."""

    name: str = ""
    """What the data set is called."""
    simulated: bool = False
    """True where the rows are made up: every figure of them says so."""
    timezone: str = "UTC"
    """Zone of times that name none."""
    csv: Csv = Csv()
    """How CSV files are written."""
    limits: Limits = Limits()
    """Where a value stops being believable."""
    members: Members = Members()
    """One row per member."""
    jobs: Jobs = Jobs()
    """One row per job."""
    interactions: Interactions = Interactions()
    """Who did what to which job, and when."""
    edges: tuple[Edges, ...] = ()
    """Further relations, one table per file."""
    nodes: dict[str, Node] = Field(default_factory=dict)
    """Tables of further node types, by type."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{zone!r} is no time zone; wanted a name like Asia/Seoul") from error
        return zone


def load_config(path: Path | None) -> DatasetConfig:
    """Read a dataset.toml; `None` gives the defaults."""
    if path is None:
        return DatasetConfig()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path.name}: there is no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: not valid TOML: {error}") from error
    try:
        return DatasetConfig.model_validate(found)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(problem) for problem in error.errors())
        raise UsageError("\n".join(f"{path.name}: {line}" for line in lines)) from error


def _explain(problem: Any) -> str:
    where = [str(part) for part in problem["loc"]]
    if problem["type"] != "extra_forbidden":
        return f"{'.'.join(where)}: {problem['msg']}"
    known = ", ".join(sorted(_model_at(where[:-1]).model_fields))
    return f"unknown key {'.'.join(where)}. Known here: {known}"


def _model_at(where: list[str]) -> type[BaseModel]:
    """The settings class that a place in the file is checked against."""
    model: type[BaseModel] = DatasetConfig
    for part in where:
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside `tuple[Edges, ...]`, `dict[str, Node]`, `str | Constant`, …"""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)

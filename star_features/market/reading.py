"""
What a posting's title and location say: a seniority level, coarse places, and cities.

    seniority("Senior Software Engineer, Ads")   # 2
    places("Remote - US; New York, NY")          # ("new_york",), and is_remote(...) is True
"""

import re

SENIORITIES = ("entry", "mid", "senior", "lead", "manager", "executive")

SENIORITY_WORDS = (
    (5, r"director|vp|vice president|head of|chief|general manager|cfo|ceo|cto|regional president"),
    (0, r"intern|internship|junior|jr|entry|graduate|apprentice|trainee|assistant|fellow|clerk"),
    (3, r"staff|principal|lead|leader|distinguished|architect"),
    (4, r"manager,|engineering manager|team manager|manager of|mgr|supervisor|^manager"),
    (2, r"senior|sr|expert|iii|iv"),
)

REMOTE, UNSPECIFIED = "remote", "unspecified"

# Place: (continent, cities that members live in, further words that say this place)
PLACES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "bay_area": (
        "america",
        ("San Francisco", "San Jose", "Mountain View", "Palo Alto", "Oakland", "San Mateo"),
        r"bay area|menlo park|santa clara|sunnyvale|redwood city|brisbane, ca|cupertino|fremont",
    ),
    "new_york": (
        "america",
        ("New York", "Brooklyn", "Jersey City", "Stamford"),
        r"nyc|manhattan|queens|livingston|connecticut|new jersey|, nj",
    ),
    "us_west": (
        "america",
        ("Seattle", "Los Angeles", "San Diego", "Denver", "Phoenix", "Salt Lake City"),
        r"bellevue|redmond|hawthorne|universal city|portland|tempe|vandenberg|california|, ca\b"
        r"|washington, united|, wa\b|arizona|, az\b|utah|\but\b|colorado|, co\b|oregon|nevada",
    ),
    "us_south": (
        "america",
        ("Austin", "Dallas", "Houston", "Atlanta", "Miami", "Raleigh", "Charlotte", "Orlando"),
        r"texas|, tx\b|\btx\b|starbase|bastrop|florida|, fl\b|georgia|, ga\b|, nc\b|carolina"
        r"|tennessee|, tn\b|louisiana|, la\b|alabama|oklahoma",
    ),
    "us_east": (
        "america",
        ("Boston", "Washington, D.C.", "Philadelphia", "Pittsburgh", "Chicago", "Arlington"),
        r"massachusetts|, ma\b|washington, dc|virginia|, va\b|maryland|, md\b|pennsylvania|, pa\b"
        r"|illinois|, il\b|ohio|, oh\b|michigan|, mi\b|minnesota|indiana|wisconsin|missouri",
    ),
    "canada": (
        "america",
        ("Toronto", "Vancouver", "Montreal", "Calgary"),
        r"canada|ontario|quebec|british columbia",
    ),
    "latin_america": (
        "america",
        ("Mexico City", "São Paulo", "Buenos Aires", "Bogotá", "Santiago"),
        r"mexico|sao paulo|brazil|argentina|colombia|chile|peru|latam|costa rica",
    ),
    "uk_ireland": (
        "europe",
        ("London", "Dublin", "Manchester", "Edinburgh", "Staines"),
        r"united kingdom|\buk\b|\bgb\b|england|scotland|ireland|bedford",
    ),
    "west_europe": (
        "europe",
        ("Berlin", "Paris", "Amsterdam", "Munich", "Madrid", "Stockholm", "Lisbon", "Barcelona"),
        r"germany|france|netherlands|spain|sweden|portugal|italy|rome|milan|zurich|switzerland"
        r"|denmark|copenhagen|belgium|austria|vienna|norway|finland|helsinki|athens|greece|dach",
    ),
    "east_europe": (
        "europe",
        ("Warsaw", "Tallinn", "Budapest", "Prague", "Kraków", "Bucharest"),
        r"poland|estonia|hungary|czech|romania|bulgaria|sofia|ukraine|serbia|belgrade|lithuania",
    ),
    "middle_east_africa": (
        "africa",
        ("Tel Aviv", "Dubai", "Riyadh", "Cairo", "Istanbul"),
        r"israel|emirates|\buae\b|saudi|maadi|egypt|turkey|qatar|nigeria|kenya|south africa",
    ),
    "india": (
        "asia",
        ("Bengaluru", "Hyderabad", "Mumbai", "Pune", "Delhi", "Gurugram"),
        r"bangalore|india|telangana|chennai|noida|gurgaon",
    ),
    "asia_pacific": (
        "asia",
        ("Singapore", "Tokyo", "Sydney", "Melbourne", "Seoul", "Kuala Lumpur", "Auckland"),
        r"japan|australia|korea|malaysia|new zealand|wellington|bangsar|taguig|philippines|manila"
        r"|hong kong|taiwan|taipei|china|shanghai|ipoh|thailand|bangkok|indonesia|jakarta|vietnam",
    ),
}

CITIES: tuple[tuple[str, str], ...] = tuple(
    (city, place) for place, (_, cities, _) in PLACES.items() for city in cities
)
CONTINENTS = {place: continent for place, (continent, _, _) in PLACES.items()}

_LEVELS = tuple(
    (level, re.compile(rf"(?:\b|^)(?:{words})(?:\b|$|\s)")) for level, words in SENIORITY_WORDS
)
_REMOTE = re.compile(r"remote|anywhere|distributed")
_CITY = tuple(
    (index, place, re.compile(rf"\b{re.escape(city.lower())}"))
    for index, (city, place) in enumerate(CITIES)
)
_PLACE = tuple((place, re.compile(words)) for place, (_, _, words) in PLACES.items())


def seniority(title: str) -> int:
    """Index into SENIORITIES; a title that says nothing is `mid`."""
    lowered = title.lower()
    return next((level for level, words in _LEVELS if words.search(lowered)), 1)


def is_remote(location: str) -> bool:
    return _REMOTE.search(location.lower()) is not None


def cities(location: str) -> tuple[int, ...]:
    """Indices into CITIES of the cities that a location names, in the order of the table."""
    lowered = location.lower()
    return tuple(index for index, _, words in _CITY if words.search(lowered))


def places(location: str) -> tuple[str, ...]:
    """The coarse places that a location names; empty for `Hybrid` or `Remote`."""
    lowered = location.lower()
    by_city = {place for _, place, words in _CITY if words.search(lowered)}
    by_word = {place for place, words in _PLACE if words.search(lowered)}
    named = by_city or by_word
    return tuple(place for place in PLACES if place in named)


def place_column(location: str) -> str:
    """The one value that the `place` column holds: the first place, else remote or unspecified."""
    named = places(location)
    return named[0] if named else REMOTE if is_remote(location) else UNSPECIFIED

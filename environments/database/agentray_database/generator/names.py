"""Names of people, places and things for generated cells, from the vocabulary of one split."""

from __future__ import annotations

import random
from collections.abc import Callable

from agentray_database.generator.pools import Pools

Namer = Callable[[random.Random, Pools], str]


def person(rng: random.Random, pools: Pools) -> str:
    """`Marta O'Brien`, `J. R. Holm`, `Karl Berg Jr.`; now and then a single name."""
    first, last = pools.word("first", rng), pools.word("last", rng)
    style = rng.random()
    if style < 0.80:
        return f"{first} {last}"
    if style < 0.86:
        return f"{first[0]}. {last}"
    if style < 0.90:
        return f"{first} {rng.choice('ABCDEHJLMPRSTW')}. {last}"
    if style < 0.94:
        return f"{first} {last}-{pools.word('last', rng)}"
    return f"{first} {pools.invented(rng)}" if style < 0.98 else f"{first} {last} Jr."


def persons(rng: random.Random, pools: Pools) -> str:
    """One to three people."""
    separator = rng.choice([", ", " & ", " and ", "; "])
    return separator.join(person(rng, pools) for _ in range(rng.choice([1, 1, 2, 2, 3])))


def team(rng: random.Random, pools: Pools) -> str:
    """`Aldford United`, `FK Torvale`, `Salem Otters`, `Reno`."""
    name = pools.name(rng)
    forms = [
        "{n} {m}",
        "{n} {m}",
        "{n} {m}",
        "{n} United",
        "{n} City",
        "FC {n}",
        "FK {n}",
        "{n} FC",
        "{n} SK",
        "{n}",
    ]
    forms += [
        "{n} Rovers",
        "{n} Town",
        "Sporting {n}",
        "Real {n}",
        "{n} '04",
        "{n} State",
        "AS {n}",
        "{n} II",
    ]
    return rng.choice(forms).format(n=name, m=pools.word("mascot", rng))


def opponent(rng: random.Random, pools: Pools) -> str:
    """A team, with its prefix for an away game in some tables."""
    return rng.choice(["", "", "", "", "", "@ ", "at ", "vs. "]) + team(rng, pools)


def title(rng: random.Random, pools: Pools) -> str:
    """A title of a film, song or book."""
    noun, other, adjective = pools.word("noun", rng), pools.word("noun", rng), pools.word("adjective", rng)
    forms = [
        "The {a} {n}",
        "{a} {n}",
        "{n} of the {o}",
        "{n} & {o}",
        "The {n}",
        "{a} {n}s",
        "My {n}",
        "{n} 2",
        "{n}: {a} {o}",
    ]
    forms += [
        "The {n}'s {o}",
        "Don't {n}",
        "A {n} for {f}",
        "No {n} in {p}",
        "{n} ({a} Version)",
        "{f}'s {n}",
        "Le {i}",
        "{n}",
    ]
    first, place = pools.word("first", rng), pools.name(rng)
    return rng.choice(forms).format(a=adjective, n=noun, o=other, f=first, p=place, i=pools.invented(rng))


def building(rng: random.Random, pools: Pools) -> str:
    """A tower or hall."""
    forms = [
        "{n} Tower",
        "{n} Plaza",
        "One {n} Center",
        "{n} Building",
        "{l} Tower {t}",
        "{n} Square",
        "{l} House",
    ]
    forms += ["Hotel {n}", "{n} Trade Center", "{d} {n} Street", "{n} Court", "{l} Exchange"]
    return _fill(rng.choice(forms), rng, pools)


def site(rng: random.Random, pools: Pools) -> str:
    """A listed building."""
    forms = [
        "{l} Farm",
        "{n} Mill",
        "St. {f}'s Church",
        "{l} House",
        "{n} Bridge",
        "Old {n} Courthouse",
        "{l}-{k} House",
    ]
    forms += ["{n} Depot", "{n} Chapel", "{l} Barn", "{n} Historic District", "Fort {l}"]
    return _fill(rng.choice(forms), rng, pools)


def school(rng: random.Random, pools: Pools) -> str:
    """A school or college."""
    forms = [
        "{n}",
        "{n} State",
        "University of {n}",
        "{n} High School",
        "{l} College",
        "St. {f}'s",
        "{n} Tech",
    ]
    forms += ["{n} Academy", "{n}-{l}", "{l} University ({c})", "{n} Primary School", "Southern {n}"]
    return _fill(rng.choice(forms), rng, pools)


def region(rng: random.Random, pools: Pools) -> str:
    """A county, district or province."""
    return _fill(
        rng.choice(["{n}", "{n}", "{n}", "County {n}", "Upper {n}", "{n} East", "{n}-{l}", "New {n}"]),
        rng,
        pools,
    )


def company(rng: random.Random, pools: Pools) -> str:
    """A firm, label or studio."""
    return _fill(rng.choice(["{l} {w}", "{n} {w}", "{l} & {k}", "{i} {w}", "{i}", "{l} {w}"]), rng, pools)


def candidates(rng: random.Random, pools: Pools) -> str:
    """Two candidates with their shares of the vote."""
    share = rng.randint(501, 889) / 10
    names = [f"{person(rng, pools)} ({pools.word('party', rng)[0]})" for _ in range(2)]
    return rng.choice([", ", " \\n ", " - "]).join([f"{names[0]} {share}%", f"{names[1]} {100 - share:.1f}%"])


def role(rng: random.Random, pools: Pools) -> str:
    """A part in a film."""
    job, name = pools.word("role", rng), person(rng, pools)
    return rng.choice(
        [name, name, f"{job} {pools.word('last', rng)}", job, f"{name} (voice)", pools.word("first", rng)]
    )


def film_note(rng: random.Random, pools: Pools) -> str:
    """A note on a film part."""
    forms = [
        "-",
        "Main role",
        "Recurring role",
        "Short film",
        "{d} episodes",
        'Episode: "{t}"',
        "TV film",
        "Also producer",
    ]
    forms += [
        "Cameo",
        "{a} Award for best actress",
        "Supporting role, {d} episodes",
        "Uncredited",
        "Post-production",
        "",
    ]
    text = rng.choice(forms)
    return text.format(d=rng.randint(2, 90), t=title(rng, pools), a=pools.name(rng))


def _fill(form: str, rng: random.Random, pools: Pools) -> str:
    """A form with its place names {n} {i}, surnames {l} {k}, first name {f} and so on filled in."""
    return form.format(
        n=pools.name(rng), i=pools.invented(rng), l=pools.word("last", rng), k=pools.word("last", rng),
        f=pools.word("first", rng), w=pools.word("trade", rng), c=pools.word("country", rng),
        d=rng.randint(1, 60), t=rng.choice("ABC12"), m=pools.word("mascot", rng),
        a=pools.word("adjective", rng), o=pools.word("noun", rng), u=pools.word("tournament", rng),
    )  # fmt: skip


def _form(*forms: str) -> Namer:
    return lambda rng, pools: _fill(rng.choice(forms), rng, pools)


def _word(name: str) -> Namer:
    return lambda rng, pools: pools.word(name, rng)


NAMERS: dict[str, Namer] = {
    "person": person,
    "persons": persons,
    "team": team,
    "opponent": opponent,
    "title": title,
    "qtitle": lambda rng, pools: f'"{title(rng, pools)}"',
    "building": building,
    "site": site,
    "school": school,
    "region": region,
    "company": company,
    "candidates": candidates,
    "role": role,
    "filmnote": film_note,
    "place": lambda rng, pools: pools.name(rng),
    "country": _word("country"),
    "nation": _word("country"),
    "nationcode": lambda rng, pools: _with_code(pools.word("country", rng)),
    "placecountry": _form("{n}, {c}", "{n}, {c}", "{n}", "{n} , {c}"),
    "venue": _form(
        "{n} Park",
        "{n} Stadium",
        "{l} Field",
        "{n} Arena",
        "Stade {n}",
        "{l} Memorial Stadium",
        "{w} Arena",
        "{n} Road",
        "{n} Oval",
        "Estadio {n}",
        "{n}, {i}",
    ),
    "circuit": _form(
        "{n} Speedway", "{n} Circuit", "Autodromo {n}", "{n} Raceway", "{l} Park", "{n}ring", "{n}"
    ),
    "racename": _form("{n} Grand Prix", "{n} 500", "Rally {n}", "{c} Grand Prix", "{n} {d}00", "GP {n}"),
    "meet": _form(
        "{c} Championships",
        "World {o} Championships",
        "{n} Games",
        "{c} Indoor Open",
        "{n} Grand Prix",
        "{n} Marathon",
        "Junior Championships ({n})",
        "{n} Universiade",
    ),
    "tournament": _form("{n} {u}", "{c} {u}", "{n} {u}", "{n}, {c}", "{w} {u}"),
    "fightcard": _form(
        "{i} FC {d}", "{n} Fight Night {d}", "Night of {o}", "{i}: {a} {o}", "Clash {d} - {n}"
    ),
    "district": _form("{n} {d}", "{n}", "{n} North", "{n}-{l}", "{n} {d}th", "{n} East"),
    "party": _word("party"),
    "artist": _form(
        "{f} {l}", "The {o}s", "{a} {o}", "{f} {l} feat. {k}", "{i}", "The {l} Brothers", "{f} & {l}"
    ),
    "maker": _form("{l}", "{i}-{l}", "{l} {d}B", "{i}", "{l}-{k}"),
    "mascot": _word("mascot"),
    "awardname": _form(
        "{n} Film Awards", "{i} Prize", "{l} Awards", "{n} Critics Circle", "{c} Music Awards"
    ),
    "hospital": _form(
        "{n} General", "St. {f}'s Hospital", "{n} Medical Center", "{l} Clinic", "{n} & {l} Hospital"
    ),
    "airport": _form("{n} Airport", "{n} International Airport", "{f} {l} Airport", "{n}-{i}", "{n} Field"),
    "station": _form(
        "{n}", "{n} Central", "{n} Road", "{l} Street", "{n} Junction", "{n} (North)", "{n} Halt"
    ),
    "ship": _form("{i}", "{f} {l}", "SS {n}", "HMS {i}", "{a} {o}", "Empress of {n}", "{n} Maru", "{f} {k}"),
    "loco": _form("{a} {o}", "{l}", "Sir {f}", "{n} Castle", "{n}", "{f} {l}", "~", "{i}"),
    "peak": _form(
        "Mount {l}", "{i} Peak", "Monte {i}", "{i}", "Cerro {n}", "{i}horn", "{a} Mountain", "{n} Hill"
    ),
    "range": lambda rng, pools: f"{pools.invented(rng)} {pools.word('relief', rng)}",
    "monarch": _form("{f} II", "{f} of {n}", "{f} the {a}", "{f} IV", "{i} I", "{f} von {n}"),
    "battle": _form("Battle of {n}", "Siege of {i}", "{n}", "Raid on {n}", "{i} Creek", "Second {n}"),
    "carmodel": _form("{i} {d}", "{l} GT", "{i}", "Model {d}", "{l} {d}00", "{i} 1.{t} LX", "{o} Coupé"),
    "product": _form("{i} {d}0", "{a}{o} Pro", "{i} Mini", "{l} X{d}", "{o}Jet {d}00", "{i} {a} Edition"),
    "binomial": lambda rng, pools: f"{pools.word('genus', rng)} {pools.word('epithet', rng)}",
    "animal": lambda rng, pools: f"{pools.word('adjective', rng)} {pools.word('animal', rng)}",
    "family": lambda rng, pools: f"{pools.invented(rng)[:5].capitalize()}{rng.choice(['idae', 'aceae'])}",
    "career": _word("career"),
    "note": _word("note"),
    "address": _form(
        "{d} {l} Street",
        "{d}0 {n} Ave",
        "{l} Rd. and Main St.",
        "{n}, {l} st., {d}",
        "Off SR {d}",
        "{d}{t} {l} Lane",
    ),
}


def _with_code(country: str) -> str:
    return f"{country} ({country[:3].upper()})"

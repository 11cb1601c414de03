"""Generated INSERT and UPDATE requests."""

from __future__ import annotations

from agentray_database.generator.kinds import NAMING
from agentray_database.generator.tables import Column
from agentray_database.generator.wording import Pair, Request, Voice, ident, listing, quote, sentence, spoken


def insert_request(voice: Voice) -> Request:
    """A new row, told as a list of values or as news."""
    rng, table = voice.rng, voice.table
    pairs = [(column, _new_value(column)) for column in table.columns]
    if len(pairs) > 3 and rng.random() < 0.08 and not voice.plain:
        pairs = sorted(rng.sample(pairs, len(pairs) - 1), key=pairs.index)
    style = rng.choice(["quoted"] * 7 + ["plain"] * 5 + ["respective"] * 2 + ["tuple"] + ["story"] * 6)
    if voice.plain or (style == "tuple" and len(pairs) < len(table.columns)):
        style = "quoted"
    question = _story(voice, pairs) if style == "story" else _listed(voice, pairs, style)
    columns = ", ".join(ident(column.header) for column, _ in pairs)
    values = ", ".join(quote(value) for _, value in pairs)
    whole = len(pairs) == len(table.columns)
    thought = (
        "A new row with a value for every header." if whole else "A new row with values for some headers."
    )
    sql = f"INSERT INTO {ident(table.name)} ({columns}) VALUES ({values})"
    return Request("insert", sentence(question), thought, sql)


def update_request(voice: Voice) -> Request | None:
    """New values for the rows that a condition names; None when this table gives no good one."""
    rng, table = voice.rng, voice.table
    row = rng.randrange(len(table.columns[0].cells))
    conditions = _conditions(voice, row)
    fixed = [column for column, _ in conditions]
    free = [column for column in table.columns if column not in fixed and not voice.names(column)]
    if not conditions or not free:
        return None
    count = min(len(free), 2 if voice.plain else 4, rng.choice([1] * 13 + [2] * 5 + [3] * 3 + [4]))
    changes = [(column, _new_value(column)) for column in rng.sample(free, count)]
    if rng.random() < 0.85:
        changes.sort(key=lambda pair: table.columns.index(pair[0]))
    style = rng.choice(["explicit"] * 8 + ["natural"] * 8 + ["story"] + ["single"] * 2)
    style = "explicit" if voice.plain else style
    question = _update_text(voice, changes, conditions, style)
    sets = ", ".join(f"{ident(column.header)} = {quote(value)}" for column, value in changes)
    where = " AND ".join(f"{ident(column.header)} = {quote(value)}" for column, value in conditions)
    changed = listing([ident(column.header) for column, _ in changes], " and ")
    given = listing([ident(column.header) for column in fixed], " and ")
    thought = f"Change {changed} in the row with this {given}."
    return Request(
        "update", sentence(question), thought, f"UPDATE {ident(table.name)} SET {sets} WHERE {where}"
    )


def _new_value(column: Column) -> str:
    """A cell that a sentence can carry: not blank, and without the prefix of an away game."""
    for _ in range(8):
        value = column.make(len(column.cells)).removeprefix("@ ").removeprefix("at ").removeprefix("vs. ")
        if value and value not in column.cells:
            break
    return value or "-"


def _conditions(voice: Voice, row: int) -> list[Pair]:
    """One or two cells of a row that say which row is meant."""
    rng, columns = voice.rng, voice.table.columns
    known = [(column, column.cells[row]) for column in columns if _speakable(column.cells[row])]
    names = [pair for pair in known if voice.names(pair[0])]
    telling = [
        pair
        for pair in known
        if pair[0].kind in NAMING or pair[0].kind in ("date", "shortdate", "serial", "year")
    ]
    if names and rng.random() < 0.72:
        chosen = [rng.choice(names)]
    elif telling and rng.random() < 0.9:
        chosen = [rng.choice(telling)]
    else:
        chosen = [rng.choice(known)] if known else []
    others = [pair for pair in telling if pair not in chosen]
    if chosen and others and rng.random() < 0.13 and not voice.plain:
        chosen.append(rng.choice(others))
    return chosen


def _speakable(cell: str) -> bool:
    return (len(cell) > 1 and not cell.startswith(("@", "at ", "vs.", "~"))) or cell.isdigit()


def _listed(voice: Voice, pairs: list[Pair], style: str) -> str:
    """`Add a row to T with C as V, ...` in one of many styles and orders."""
    rng = voice.rng
    if style == "tuple":
        mark = rng.choice(["'", "'", '"', ""])
        values = ", ".join(f"{mark}{value}{mark}" for _, value in pairs)
        return voice.pattern("insert", "tuple").format(t=voice.mention(), vals=values)
    order = rng.sample(pairs, len(pairs)) if rng.random() < 0.2 and not voice.plain else pairs
    if style == "respective":
        mark, tick = rng.choice(["'", "'", ""]), rng.choice(["'", "", "", "`"])
        last = rng.choice([" and ", ", and ", ", "])
        columns = listing([f"{tick}{column.header}{tick}" for column, _ in order], last)
        values = listing([f"{mark}{value}{mark}" for _, value in order], last)
        return voice.pattern("insert", "respective").format(
            t=voice.mention(), row=voice.table.noun, cols=columns, vals=values
        )
    items = voice.pairs(style, order)
    return voice.pattern("insert", "listed").format(t=voice.mention(), row=voice.table.noun, items=items)


def _story(voice: Voice, pairs: list[Pair]) -> str:
    """News that implies a new row: `On 4 May the game against Reno ended 3-1 and drew 900 people`."""
    rng, noun = voice.rng, voice.table.noun
    named = [value for column, value in pairs if voice.names(column)]
    rest = [pair for pair in pairs if not voice.names(pair[0])]
    rng.shuffle(rest)
    told = [(column, value) for column, value in rest if column.verbs and rng.random() < 0.75]
    clauses = [voice.clause(column, value) for column, value in rest if (column, value) not in told]
    verbs = [rng.choice(column.verbs).format(v=value, h=spoken(column.header)) for column, value in told]
    if not verbs:
        verbs = [f"was a {noun}" if named else rng.choice(["took place", "was recorded", "was held"])]
    named = [f"the {noun} {name}" if rng.random() < 0.4 else name for name in named]
    subject = named[0] if named else f"{rng.choice(['the', 'the', 'a'])} {noun}"
    front = ""
    if clauses and clauses[0].startswith(("on ", "in ", "at ")) and rng.random() < 0.5:
        front = clauses.pop(0) + ", "
    if named and clauses:
        subject += ", " + ", ".join(clauses) + ","
    elif clauses:
        subject += " " + " ".join(clauses)
    story = f"{front}{subject} {listing(verbs[:2], ' and ')}"
    if verbs[2:]:
        story += f". {rng.choice(['It', 'The ' + noun])} {listing(verbs[2:], ' and ')}"
    return voice.pattern("insert", "story").format(S=sentence(story), t=voice.mention(), row=noun)


def _update_text(voice: Voice, changes: list[Pair], conditions: list[Pair], style: str) -> str:
    rng, table = voice.rng, voice.mention()
    marked = voice.plain or rng.random() < 0.6
    if style == "explicit":
        sets = voice.pairs("setquoted" if marked else "setplain", changes, " and ")
        where = voice.pairs("condquoted" if marked else "condplain", conditions, " and ")
        return voice.pattern("update", "explicit").format(
            t=table, row=voice.table.noun, sets=sets, conds=where
        )
    key = voice.row(
        [(column, f"'{value}'" if marked and rng.random() < 0.5 else value) for column, value in conditions]
    )
    if style == "single" and len(changes) == 1:
        column, value = changes[0]
        name = rng.choice([column.header, spoken(column.header), spoken(column.header)])
        value = f"'{value}'" if rng.random() < 0.4 else value
        return voice.pattern("update", "single").format(t=table, k=key, c=name, v=value)
    if style == "natural":
        tos = voice.pairs("setquoted" if marked else "setplain", changes, " and ")
        return voice.pattern("update", "natural").format(
            t=table, k=key, tos=tos, withs=voice.pairs("having", changes, " and ")
        )
    return voice.pattern("update", "story").format(
        t=table, k=key, withs=voice.pairs("having", changes, " and ")
    )

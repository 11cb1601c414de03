"""What names mean inside a query: its tables, their columns, and the queries around it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agentray_database.environment.dialect.faults import fault, unknown_column
from agentray_database.environment.dialect.typed import Typed


@dataclass
class Source:
    """A table of FROM, under its alias."""

    name: str
    columns: list[tuple[str, Typed]]


@dataclass
class Scope:
    """The names that a query sees."""

    parent: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    aliases: dict[str, Typed] = field(default_factory=dict)
    """Columns of the SELECT list by lower-case name, for the clauses that see them."""
    groups: set[str] = field(default_factory=set)
    """SQL of the expressions of GROUP BY, which have one value in a group."""
    aggregated: bool = False
    """Whether an aggregate was met."""
    repeated: set[str] = field(default_factory=set)
    """Names that the SELECT list gives to different columns."""
    reaches_out: bool = False
    """Whether a name of an outer query was met."""

    def column(self, name: str, table: str | None, clause: str) -> Typed:
        """The column that a name means.

        Args:
            name: As written, in any case.
            table: The alias before the point, or None.
            clause: MySQL's name of the place, for its error.

        Raises:
            StatementError: No column matches, or several do.
        """
        found = self.find(name, table)
        if found is not None:
            return found
        outer = self.parent
        while outer is not None:
            if (beyond := outer.find(name, table)) is not None:
                self.reaches_out = True
                return replace(beyond, bare=False)
            outer = outer.parent
        raise unknown_column(f"{table}.{name}" if table else name, clause)

    def alias(self, name: str) -> Typed | None:
        """The column of the SELECT list with this name.

        Raises:
            StatementError: There are several.
        """
        if name.lower() in self.repeated:
            raise fault(1052, "23000", f"Column '{name}' in order clause is ambiguous")
        return self.aliases.get(name.lower())

    def find(self, name: str, table: str | None) -> Typed | None:
        """The column among this query's own tables.

        Raises:
            StatementError: Several have that name.
        """
        matches = [
            column
            for source in self.sources
            if table is None or source.name == table
            for header, column in source.columns
            if header.lower() == name.lower()
        ]
        if len(matches) > 1:
            raise fault(1052, "23000", f"Column '{name}' in field list is ambiguous")
        return matches[0] if matches else None

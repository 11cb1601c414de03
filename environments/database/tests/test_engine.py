import re

import pytest

from agentray_database.environment.engine import Sandbox, table_hash

ROWS = [["1", "Åse", "9"], ["2", "O'Neil", "12,000"], ["3", "bob", ""]]


@pytest.fixture
def sandbox():
    opened = Sandbox("my table", ["No.", "Name", "Goals"], ROWS)
    yield opened
    opened.close()


def test_rows_print_as_a_list_of_tuples(sandbox):
    assert sandbox.execute("SELECT `No.`, Name FROM `my table` WHERE Name = 'bob'") == "[('3', 'bob')]"
    assert sandbox.execute("SELECT COUNT(*) FROM `my table`") == "[(3,)]"
    assert sandbox.execute("DELETE FROM `my table`") == "[]"


def test_text_compares_without_case_and_accents(sandbox):
    assert sandbox.execute("SELECT `No.` FROM `my table` WHERE Name = 'ASE'") == "[('1',)]"
    assert sandbox.execute("SELECT `No.` FROM `my table` WHERE Name = 'BOB'") == "[('3',)]"


@pytest.mark.parametrize(
    "condition",
    [
        "Goals < 17 AND Goals > 0",
        "Goals BETWEEN 1 AND 9",
        "9 = Goals",
        "Goals IN (9, 4)",
        "Goals > -1 AND Goals = 9",
    ],
)
def test_a_bare_number_compares_as_a_number(sandbox, condition):
    assert sandbox.execute(f"SELECT `No.` FROM `my table` WHERE {condition}") in (
        "[('1',)]",
        "[('1',), ('2',)]",
    )
    assert "('1',)" in sandbox.execute(f"SELECT `No.` FROM `my table` WHERE {condition}")


def test_a_quoted_number_compares_as_text(sandbox):
    assert sandbox.execute("SELECT `No.` FROM `my table` WHERE Goals > '17'") == "[('1',)]"


def test_assignments_are_not_taken_for_comparisons(sandbox):
    assert sandbox.execute("UPDATE `my table` SET Goals = 5 WHERE `No.` = 1") == "[]"
    assert sandbox.execute("SELECT Goals FROM `my table` WHERE `No.` = 1") == "[('5',)]"


def test_mysql_strings_division_and_functions_work(sandbox):
    assert sandbox.execute("SELECT \"a\", 'it\\'s', 7 / 2, CONCAT(1, 2), IF(1, 2, 3)") == (
        "[('a', \"it's\", Decimal('3.5000'), '12', 2)]"
    )


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("SELECT absent FROM `my table`", "1054 (42S22): Unknown column 'absent' in 'field list'"),
        ("SELECT Name FROM `my table` WHERE x = 1", "1054 (42S22): Unknown column 'x' in 'where clause'"),
        ("SELECT * FROM other", "1146 (42S02)"),
        ("SELECT Name FORM `my table`", "1064 (42000): You have an error in your SQL syntax"),
        ("SELECT Name FROM", "1064 (42000)"),
        ("SELECT 1; SELECT 2", "1064 (42000)"),
        ("SELECT YEARS(Name) FROM `my table`", "1305 (42000): FUNCTION YEARS does not exist"),
        ("INSERT INTO `my table` VALUES (1)", "1136 (21S01)"),
        ("SELECT Name FROM `my table` WHERE COUNT(*) > 1", "1111 (HY000)"),
        ("SELECT '\ud800'", "1105 (HY000)"),
        ("SELECT 'unclosed", "1064 (42000)"),
        ("x" * 20_000, "1153 (08S01)"),
    ],
)
def test_errors_read_like_mysqls(sandbox, statement, number):
    assert sandbox.execute(statement).startswith(number)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '/tmp/stolen.db' AS other",
        "DETACH main",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('/tmp/evil.so')",
        "VACUUM INTO '/tmp/stolen.db'",
        "SELECT sql FROM sqlite_master",
        "UPDATE sqlite_master SET sql = ''",
        "DROP TABLE `my table`",
        "CREATE TRIGGER t AFTER INSERT ON `my table` BEGIN SELECT 1; END",
        "BEGIN",
    ],
)
def test_forbidden_statements_are_denied_and_change_nothing(sandbox, statement):
    before = sandbox.table_hash()
    assert sandbox.execute(statement).startswith(("1142", "1064"))
    assert sandbox.table_hash() == before


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c",
        "WITH RECURSIVE c(x, n) AS (SELECT printf('%9000d', 1), 1 UNION ALL SELECT x, n + 1 FROM c)"
        " SELECT COUNT(*) FROM (SELECT x, n FROM c ORDER BY n DESC)",
        "SELECT COUNT(*) FROM " + ", ".join(f"`my table` AS t{i}" for i in range(30)),
        "SELECT hex(zeroblob(1000000000))",
        "SELECT REPEAT('a', 1000000000), LPAD('a', 1000000000, 'b')",
        "SELECT REPEAT('a', 40) REGEXP '^(a+)+b$'",
        "SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab' LIKE '%a%a%a%a%a%a%a%a%a%a%a%a%c'",
        "SELECT REPLACE(REPEAT('a', 16000), 'a', REPEAT('b', 16000))",
        "SELECT POW(10, 400), EXP(1000), 1e300 * 1e300",
        "SELECT printf('%2000000000d', 1)",
        "INSERT INTO `my table` WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
        " SELECT printf('%9000d', x), x, x FROM c",
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    ],
)
def test_bombs_end_soon_as_text(sandbox, statement):
    before = sandbox.table_hash()
    assert len(sandbox.execute(statement)) < 900
    assert sandbox.table_hash() == before


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("SELECT LENGTH('Ôle'), 'a' = 'A', 'Ôle' LIKE '%OLE%', CAST('2.75' AS SIGNED)", "[(4, 1, 1, 2)]"),
        ("SELECT FORMAT(1234.5, 2), LEFT('Ôle', 1), 7 DIV 2 # so", "[('1,234.50', 'Ô', 3)]"),
        ("SELECT COUNT(DISTINCT Name) FROM `my table` WHERE 0", "[(0,)]"),
        ("SELECT GROUP_CONCAT(`No.` ORDER BY 'same' SEPARATOR '; ') FROM `my table`", "[('3; 2; 1',)]"),
        ("SELECT a.Name FROM `my table` a, `my table` b WHERE b.Name = 'ase' AND a.Name = 'bob '",
         "[('bob',)]"),
        ("SELECT DATE('2001-05-06'), 1 / 3, 1e0", "[(datetime.date(2001, 5, 6), Decimal('0.3333'), 1.0)]"),
        ("DESCRIBE `my table`",
         "[('No.', 'text', 'YES', '', None, ''), ('Name', 'text', 'YES', '', None, ''), "
         "('Goals', 'text', 'YES', '', None, '')]"),
    ],
)  # fmt: skip
def test_answers_are_mysqls(sandbox, statement, rows):
    assert sandbox.execute(statement) == rows


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("UPDATE `my table` SET Goals = 7.400 WHERE `No.` = '1'", "7.400"),
        ("UPDATE `my table` t SET t.Goals = t.Goals + 1 WHERE t.`No.` = '1'", "10"),
        ("UPDATE `my table` SET Goals = '5', Name = Goals WHERE Name = 'ase' ORDER BY Name LIMIT 1", "5"),
    ],
)
def test_a_text_column_keeps_a_number_as_mysql_writes_it(sandbox, statement, kept):
    assert sandbox.execute(statement) == "[]"
    assert sandbox.query("SELECT Goals FROM `my table` WHERE `No.` = '1'") == [(kept,)]


def test_a_change_that_meets_no_number_changes_nothing(sandbox):
    before = sandbox.table_hash()
    assert sandbox.execute("UPDATE `my table` SET Goals = Goals + 1").startswith("1292 (22007)")
    assert sandbox.table_hash() == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT Name, * FROM `my table`",
        "SELECT Name, FROM `my table`",
        "SELECT Name::int FROM `my table`",
        "SELECT CAST(Name AS CHAR(2) FROM `my table`",
        "SELECT Group FROM `my table`",
        "SELECT Name FROM `my table` ORDER BY Goals NULLS LAST",
        "SELECT 1 = 1 = 1",
        "SELECT (SELECT Name FROM `my table`)",
        "SELECT COUNT(*) FROM (SELECT Name FROM `my table`)",
    ],
)
def test_what_mysql_refuses_or_reads_otherwise_is_an_error(sandbox, statement):
    assert re.match(r"\d{4} \([0-9A-Z]{5}\): ", sandbox.execute(statement))


def test_long_results_are_cut_at_800_characters(sandbox):
    text = sandbox.execute(
        "SELECT a.Name, b.Name, c.Name, d.Name FROM `my table` a, `my table` b, `my table` c, `my table` d"
    )
    assert text.endswith("[TRUNCATED]") and len(text) == 800 + len("[TRUNCATED]")


def test_the_hash_ignores_row_order_and_skips_null():
    assert table_hash([("1", "a"), ("2", None)]) == table_hash([("2",), ("1", "a")])
    assert table_hash([("1", "a")]) != table_hash([("1", "b")])

-- kind: number comparison
SELECT {name} FROM {t} WHERE {num} = {n}
SELECT {name} FROM {t} WHERE {num} > {n}
SELECT {name} FROM {t} WHERE {num} <= 31.50
SELECT {name} FROM {t} WHERE {dec} = 3
SELECT {name} FROM {t} WHERE {dec} <> 2.750
SELECT {name} FROM {t} WHERE {n} < {num} AND {dec} >= 1e0
SELECT {name} FROM {t} WHERE {num} != -5
-- kind: text comparison
SELECT {name} FROM {t} WHERE {num} = '31'
SELECT {name} FROM {t} WHERE {num} > '9'
SELECT {num} FROM {t} WHERE {name} = 'AJAX'
SELECT {num} FROM {t} WHERE {name} = "ole"
SELECT {num} FROM {t} WHERE {name} < 'm'
SELECT 'a' = 'A', 'a' = 'a ', 'a' < 'B', 'ß' = 's', 'é' = 'E', 'æ' = 'ae', '' = ' '
SELECT {word} = {name}, {name} <=> NULL, {nul} <=> NULL FROM {t}
-- kind: binary comparison
SELECT BINARY 'a' = 'A', BINARY 'a' = 'a', 'a' COLLATE utf8mb4_bin = 'A'
SELECT {num} FROM {t} WHERE BINARY {name} = 'ajax'
-- kind: mixed comparison
SELECT '10' = 10, '10' = 10.0, '1e1' = 10, 'abc' = 0, '5 apples' = 5, '' = 0, ' 7' = 7
SELECT 1 = 1.0, 2 > 1.99, 0.1 + 0.2 = 0.3, 10 / 4 = 2.5, '0.10' = 0.1, '0.10' = '0.1'
-- kind: between
SELECT {name} FROM {t} WHERE {num} BETWEEN 9 AND 32
SELECT {name} FROM {t} WHERE {num} NOT BETWEEN 9 AND 32
SELECT {name} FROM {t} WHERE {name} BETWEEN 'a' AND 'n'
SELECT {name} FROM {t} WHERE {date} BETWEEN '2001-01-01' AND '2010-12-31'
-- kind: in
SELECT {name} FROM {t} WHERE {num} IN (9, 31, 100)
SELECT {name} FROM {t} WHERE {num} NOT IN (9, 31)
SELECT {name} FROM {t} WHERE {name} IN ('AJAX', 'psv', 'nobody')
SELECT {name} FROM {t} WHERE {name} NOT IN ('Ajax', NULL)
SELECT 1 IN (1, NULL), 2 IN (1, NULL), NULL IN (1), ('a', 1) = ('A', 1)
SELECT {name} FROM {t} WHERE ({name}, {num}) IN (('ajax', 31), ('x', 1))
-- kind: like
SELECT {name} FROM {t} WHERE {name} LIKE '%OLE%'
SELECT {name} FROM {t} WHERE {name} LIKE 'a%'
SELECT {name} FROM {t} WHERE {name} NOT LIKE '%a%'
SELECT {name} FROM {t} WHERE {name} LIKE '_j_x'
SELECT {name} FROM {t} WHERE {num} LIKE '3%'
SELECT 'a%b' LIKE 'a\%b', 'axb' LIKE 'a\%b', 'a_b' LIKE 'a|_b' ESCAPE '|', 'psv ' LIKE 'psv', 'ÔLE' LIKE 'o_E'
SELECT {name} FROM {t} WHERE {date} LIKE '2001%'
-- kind: regexp
SELECT {name} FROM {t} WHERE {name} REGEXP '^a'
SELECT {name} FROM {t} WHERE {date} RLIKE '^[0-9]{4}-'
SELECT {name} FROM {t} WHERE {num} REGEXP '^[0-9]+$'
SELECT {name} FROM {t} WHERE {num} NOT REGEXP '[.]'
SELECT 'abc' REGEXP 'B', 'a1' REGEXP '[[:digit:]]', 'x.y' REGEXP 'x\\.y', 'foo bar' REGEXP '\\bbar\\b', 'Ôle' REGEXP '^\\w'
SELECT 'abab' REGEXP '^(ab)+$', 'abc' REGEXP 'a|z', 'abc' REGEXP BINARY 'B', NULL REGEXP 'a', '' REGEXP '^$'
SELECT REGEXP_REPLACE('a1b22', '[0-9]+', '#'), REGEXP_SUBSTR('x12y3', '[0-9]+'), REGEXP_INSTR('ab1', '[0-9]')
SELECT REGEXP_REPLACE({name}, '[aeiou]', '') FROM {t}
-- kind: null tests
SELECT {name} FROM {t} WHERE {nul} IS NULL
SELECT {name} FROM {t} WHERE {nul} IS NOT NULL AND {nul} <> ''
SELECT {name} FROM {t} WHERE {nul} = NULL
SELECT NULL + 1, NULL = NULL, NULL AND 0, NULL OR 1, NOT NULL, NULL XOR 1, ISNULL(NULL), ISNULL(1)
-- kind: ifnull and coalesce
SELECT IFNULL({nul}, 'none') FROM {t}
SELECT COALESCE({nul}, {num}, 0) FROM {t}
SELECT IFNULL(NULL, 1.50), IFNULL(1, 'x'), COALESCE(NULL, 2, 3.25), COALESCE(NULL, NULL), IFNULL(1e0, 2)
SELECT NULLIF({name}, 'AJAX'), NULLIF(1, 1), NULLIF(2, 1) FROM {t}
-- kind: if and case
SELECT IF({num} > 30, 'y', 'n') FROM {t}
SELECT IF({nul} IS NULL, 0, 1.5) FROM {t}
SELECT CASE WHEN {num} > 30 THEN 'high' WHEN {num} > 5 THEN 'mid' ELSE 'low' END FROM {t}
SELECT CASE {name} WHEN 'ajax' THEN 1 WHEN 'OLE' THEN 2 END FROM {t}
SELECT IF('abc', 1, 2), IF('1x', 1, 2), IF(0.4, 1, 2), IF(NULL, 1, 2), IF(1, 2, 3.5), IF(0, 'a', 5)
-- kind: logical operators
SELECT {name} FROM {t} WHERE {num} > 5 AND NOT {name} = 'ajax'
SELECT {name} FROM {t} WHERE {num} = 31 || {num} = 9
SELECT {name} FROM {t} WHERE {num} > 1 && {dec} > 1
SELECT 1 XOR 1, 1 XOR 0, NOT 0, !1, TRUE, FALSE, TRUE + TRUE, 'a' || 'b', '1' || '0', 1 AND 2
SELECT 1 IS TRUE, 0 IS NOT TRUE, NULL IS FALSE, 'x' IS TRUE, 2 = TRUE
-- kind: integer arithmetic
SELECT 1 + 2, 5 - 7, 3 * 4, 7 % 3, -7 % 3, 7 MOD 3, MOD(10, 4), 7 DIV 2, -7 DIV 2, 5--3
SELECT 9223372036854775807, -9223372036854775807 + 1, 12345678901234567890123
SELECT 0x41 = 'A'
-- kind: division
SELECT 7 / 2, 1 / 3, 2 / 3, 10 / 5, 1.50 / 3, 1 / 0, 5 % 0, 5 DIV 0, 1 / 3 * 3, 7.0 / 2.00
SELECT {num} / 2 FROM {t}
SELECT {num} / 0 FROM {t}
SELECT ({num} + 1) / 3, {dec} DIV 2, {num} % 4, {num} MOD 3 FROM {t}
-- kind: decimal arithmetic
SELECT 1.50 + 1, 2.5 * 2.5, 1.10 - 1.1, -0.50, 1.005 * 100, 3.00, .5, 5., 1.2 + 1e0, 0.1 + 0.2
SELECT 1.5 % 1, 5.5 DIV 2, 9.99 * 9.999, 100.00 / 7, 1.0 / 3.0, -1.5 DIV 1, 7.5 % 2
-- kind: text arithmetic
SELECT {num} + 1 FROM {t}
SELECT {num} + 0, {dec} * 2, -{num}, {num} - {dec} FROM {t}
SELECT 'abc' + 1, '12abc' * 2, '' + 0, '1.50' + '1.5', '1e2' + 0, ' 3' + 0, '-4' + 0, '+5' + 0, '.5' + 0
SELECT {num} + 0.10, {num} * 1.00 FROM {t}
-- kind: rounding
SELECT ROUND(2.5), ROUND(-2.5), ROUND(0.125, 2), ROUND(1.005, 2), ROUND(15, -1), ROUND(14.5), ROUND(3.14159, 3)
SELECT ROUND({dec}), ROUND({dec}, 1), ROUND({num} / 3, 2) FROM {t}
SELECT ROUND(2.5e0), ROUND(3.5e0), ROUND('2.5'), ROUND(1.25e0, 1), ROUND(7, 2), ROUND(1.5, 4), ROUND(NULL)
SELECT TRUNCATE(2.789, 1), TRUNCATE(-2.789, 1), TRUNCATE(1999, -2), TRUNCATE('2.789', 2), FLOOR(2.7), FLOOR(-2.7), CEIL(2.1), CEILING(-2.1)
SELECT FLOOR({dec}), CEIL({dec}), TRUNCATE({num}, 0), FLOOR('2.7'), CEIL('2.1'), FLOOR(2.7e0) FROM {t}
SELECT ROUND(AVG({num}), 2), ROUND(AVG({num}), 0), ROUND(SUM({num}) / COUNT(*), 1) FROM {t}
-- kind: numeric functions
SELECT ABS(-3), ABS(-2.50), ABS('-4'), SIGN(-2), SIGN(0), SIGN('3.5'), POWER(2, 3), POW(2, 0.5), SQRT(16), SQRT(-1)
SELECT EXP(0), LN(1), LOG(2, 8), LOG10(1000), LOG2(8), LN(0), MOD('7', 2), MOD(7.5, 2)
SELECT ABS({num}), SQRT({num}), POW({num}, 2) FROM {t}
-- kind: greatest and least
SELECT GREATEST(1, 2), LEAST(1, 2.5), GREATEST('a', 'B'), LEAST('b', 'A'), GREATEST(1, NULL), GREATEST(1.5, 2)
SELECT GREATEST({num} + 0, {dec} + 0), LEAST({name}, {word}) FROM {t}
-- kind: cast to integer
SELECT CAST({num} AS SIGNED), CAST({dec} AS SIGNED) FROM {t}
SELECT CAST('2.75' AS SIGNED), CAST(2.75 AS SIGNED), CAST('abc' AS SIGNED), CAST('12abc' AS UNSIGNED), CAST(2.5e0 AS SIGNED), CAST(-2.5 AS SIGNED)
SELECT CAST('1e3' AS SIGNED), CAST('' AS SIGNED), CAST(' 5' AS SIGNED), CONVERT('7', SIGNED), CONVERT('8', UNSIGNED INTEGER), CAST(NULL AS SIGNED)
SELECT MAX(CAST({num} AS SIGNED)), MIN(CAST({num} AS UNSIGNED)) FROM {t}
SELECT CAST(REPLACE({big}, ',', '') AS UNSIGNED) FROM {t}
-- kind: cast to decimal
SELECT CAST({num} AS DECIMAL(10,2)) FROM {t}
SELECT CAST('2.755' AS DECIMAL(10,2)), CAST('2.5' AS DECIMAL), CAST(3 AS DECIMAL(5,1)), CAST('abc' AS DECIMAL(4,2)), CAST(123456 AS DECIMAL(4,2)), CAST(2.345 AS DECIMAL(5))
SELECT SUM(CAST({dec} AS DECIMAL(10,3))), AVG(CAST({dec} AS DECIMAL(10,2))) FROM {t}
SELECT CAST(REPLACE({big}, ',', '') AS DECIMAL(12,0)) FROM {t}
SELECT CAST('1.5' AS DOUBLE), CAST(1 AS DOUBLE), CAST(1.10 AS DOUBLE)
-- kind: cast to text
SELECT CAST(1.50 AS CHAR), CAST(7 AS CHAR), CAST('abcdef' AS CHAR(3)), CONVERT(5, CHAR), CAST(1e0 AS CHAR), CAST(0.1 + 0.2e0 AS CHAR)
SELECT CONVERT({name} USING utf8mb4) FROM {t}
-- kind: concat
SELECT CONCAT({name}, ' (', {num}, ')') FROM {t}
SELECT CONCAT({name}, {nul}) FROM {t}
SELECT CONCAT_WS('-', {name}, {nul}, {num}) FROM {t}
SELECT CONCAT(1, 1.50, 'x', 2e0), CONCAT('a'), CONCAT_WS(NULL, 'a', 'b'), CONCAT_WS(',', 'a', NULL, 'b'), 'a' 'b', CONCAT(1/3), CONCAT(TRUE)
SELECT CONCAT({num} + 0), CONCAT({num} / 3), CONCAT(SUM({num})) FROM {t} GROUP BY {num}
SELECT CONCAT(ROUND({dec}, 1)), CONCAT(ROUND('2.5', 2)), CONCAT(FLOOR('2.5')), CONCAT(AVG(2)), CONCAT(SUM(1.50)) FROM {t} GROUP BY {dec}
-- kind: parts of text
SELECT LEFT({name}, 2), RIGHT({name}, 2) FROM {t}
SELECT SUBSTRING({name}, 2), SUBSTRING({name}, 2, 2), SUBSTRING({name}, -2), SUBSTR({name}, 1, 1), MID({name}, 2, 1) FROM {t}
SELECT SUBSTRING('abc' FROM 2 FOR 1), SUBSTRING('abc' FROM -1), LEFT('abc', 0), LEFT('abc', -1), RIGHT('abc', 10), SUBSTRING('abc', 0), SUBSTRING('abc', 1.5), LEFT('abc', '2')
SELECT SUBSTRING_INDEX({date}, '-', 1), SUBSTRING_INDEX({date}, '-', -1), SUBSTRING_INDEX({date}, '-', 2) FROM {t}
SELECT SUBSTRING_INDEX('a,b,c', ',', -2), SUBSTRING_INDEX('a,b', 'x', 1), SUBSTRING_INDEX('aXb', 'x', 1), SUBSTRING_INDEX('aaa', 'aa', -1), SUBSTRING_INDEX('abc', '', 1)
SELECT LEFT({num}, 1) + 1, RIGHT({date}, 2) FROM {t}
-- kind: case of text
SELECT UPPER({name}), LOWER({name}), UCASE('straße'), LCASE('ÉCOLE') FROM {t}
-- kind: length
SELECT LENGTH({name}), CHAR_LENGTH({name}), LENGTH({nul}) FROM {t}
SELECT LENGTH(12345), LENGTH(1.50), LENGTH(''), CHARACTER_LENGTH('Ôle'), OCTET_LENGTH('Ôle')
SELECT {name} FROM {t} WHERE CHAR_LENGTH({name}) - 5 > 0
-- kind: trim and pad
SELECT TRIM({name}), LTRIM('  a '), RTRIM(' a  '), TRIM(BOTH 'x' FROM 'xxaxx'), TRIM(LEADING '0' FROM '007'), TRIM(TRAILING '.' FROM 'a..') FROM {t}
SELECT LPAD({num}, 5, '0'), RPAD({name}, 6, '*'), LPAD('abc', 2, 'x'), RPAD('a', 3), LPAD('a', 3, ''), LPAD('a', 5, 'xy') FROM {t}
-- kind: replace, insert and reverse
SELECT REPLACE({name}, 'a', 'o'), REVERSE({name}), INSERT({name}, 1, 1, 'X'), REPEAT('ab', 2), SPACE(2), REPEAT('a', 0) FROM {t}
SELECT REPLACE('aAa', 'A', 'x'), REPLACE('abc', '', 'x'), INSERT('abc', 2, 10, 'Z'), INSERT('abc', 9, 1, 'Z'), REPLACE(1.50, '.', ',')
SELECT REPLACE({big}, ',', '') + 0 FROM {t}
-- kind: search in text
SELECT LOCATE('a', {name}), INSTR({name}, 'A'), POSITION('j' IN {name}), LOCATE('a', {name}, 2) FROM {t}
SELECT LOCATE('', 'abc'), LOCATE('z', 'abc'), INSTR('Ôle', 'o'), FIND_IN_SET('b', 'a,b,c'), FIELD('b', 'a', 'B'), FIELD(2, 1, 2), ELT(2, 'a', 'b'), STRCMP('a', 'B')
SELECT FIND_IN_SET({name}, 'ajax,psv') FROM {t}
-- kind: codes and hashes
SELECT ASCII('A'), ORD('é'), HEX('Ab'), MD5('abc'), SHA1('abc'), BIN(5), QUOTE('it''s')
-- kind: format
SELECT FORMAT(1234.5, 2), FORMAT(1234567, 0), FORMAT(-0.5, 0), FORMAT('1234.567', 2), FORMAT(0.125, 2)
SELECT FORMAT({num}, 1) FROM {t}
-- kind: date parts
SELECT YEAR({date}), MONTH({date}), DAY({date}), DAYOFMONTH({date}), QUARTER({date}) FROM {t}
SELECT DAYNAME({date}), MONTHNAME({date}), DAYOFWEEK({date}), WEEKDAY({date}), DAYOFYEAR({date}), WEEK({date}) FROM {t}
SELECT EXTRACT(YEAR FROM {date}), EXTRACT(MONTH FROM '2001-05-06'), LAST_DAY({date}), TO_DAYS({date}) FROM {t}
SELECT {name} FROM {t} WHERE YEAR({date}) = 2001
SELECT {name} FROM {t} WHERE YEAR({date}) >= 2000 AND MONTH({date}) IN (5, 12)
SELECT HOUR('2001-05-06 12:34:56'), MINUTE('2001-05-06 12:34:56'), SECOND('2001-05-06 12:34:56'), DATE('2001-05-06 12:34:56'), YEAR('March 19'), YEAR('')
-- kind: date arithmetic
SELECT DATE_ADD({date}, INTERVAL 1 DAY), DATE_SUB({date}, INTERVAL 1 MONTH), {date} + INTERVAL 1 YEAR FROM {t}
SELECT DATE_ADD('2004-02-29', INTERVAL 1 YEAR), DATE_ADD('2001-01-31', INTERVAL 1 MONTH), ADDDATE('2001-01-01', 5), SUBDATE('2001-01-01', INTERVAL 1 WEEK), DATE_ADD('2001-05-06', INTERVAL 2 HOUR)
SELECT DATE_ADD(DATE('2001-05-06'), INTERVAL 1 DAY), CAST('2001-05-06' AS DATE) - INTERVAL 1 DAY, DATE_ADD('2001-05-06 10:00:00', INTERVAL 30 MINUTE)
SELECT DATEDIFF({date}, '2000-01-01'), TIMESTAMPDIFF(YEAR, {date}, '2020-01-01'), TIMESTAMPDIFF(DAY, '2001-01-01', {date}) FROM {t}
SELECT TIMESTAMPDIFF(MONTH, '2001-01-31', '2001-02-28'), TIMESTAMPDIFF(YEAR, '2020-01-01', '2001-05-06'), DATEDIFF('2001-05-06', '2001-05-07'), FROM_DAYS(730000), MAKEDATE(2001, 100)
-- kind: date format
SELECT DATE_FORMAT({date}, '%Y'), DATE_FORMAT({date}, '%d/%m/%y'), DATE_FORMAT({date}, '%M %e, %Y'), DATE_FORMAT({date}, '%W %D %b %a %j') FROM {t}
SELECT DATE_FORMAT('2001-05-06 13:04:05', '%H:%i:%s %p %h %l %r %T %k'), DATE_FORMAT('2001-05-06', '%c %w %%x%')
-- kind: text to date
SELECT STR_TO_DATE({long}, '%M %d, %Y') FROM {t}
SELECT YEAR(STR_TO_DATE({long}, '%M %d, %Y')) FROM {t}
SELECT STR_TO_DATE('01/02/2003', '%d/%m/%Y'), STR_TO_DATE('2003-13-01', '%Y-%m-%d'), STR_TO_DATE('x', '%Y-%m-%d'), STR_TO_DATE('1 Jan 99', '%e %b %y'), STR_TO_DATE('2001-05-06 10:11', '%Y-%m-%d %H:%i')
SELECT {name} FROM {t} ORDER BY STR_TO_DATE({long}, '%M %d, %Y'), {name}
SELECT MAX(STR_TO_DATE({long}, '%M %d, %Y')) FROM {t}
-- kind: date comparison
SELECT {name} FROM {t} WHERE {date} > '2001-01-01'
SELECT {name} FROM {t} WHERE DATE({date}) > '2001-5-6'
SELECT {name} FROM {t} WHERE CAST({date} AS DATE) = '2001-05-06'
SELECT {name} FROM {t} WHERE STR_TO_DATE({long}, '%M %d, %Y') < '2000-01-01'
SELECT MAX({date}), MIN(DATE({date})), COUNT(DATE({date})) FROM {t}
-- kind: count
SELECT COUNT(*) FROM {t}
SELECT COUNT({nul}), COUNT(1), COUNT(NULL) FROM {t}
SELECT COUNT(DISTINCT {word}), COUNT(DISTINCT {word}, {nul}), COUNT(DISTINCT {num} + 0) FROM {t}
SELECT COUNT(*) FROM {t} WHERE {nul} != ''
SELECT COUNT(*) > 1 FROM {t}
-- kind: sum and avg
SELECT SUM({num}), AVG({num}), SUM({nul}), AVG({dec}) FROM {t}
SELECT SUM(1), AVG(2), SUM(1.50), AVG(1.25), SUM(1e0), SUM(NULL), SUM(TRUE) FROM {t}
SELECT SUM({num} > 30), AVG({num} > 30), SUM(IF({num} > 30, 1, 0)) FROM {t}
SELECT SUM({num}) FROM {t} WHERE {name} = 'nobody'
SELECT SUM(DISTINCT {num}), SUM(DISTINCT 5), AVG(DISTINCT {dec} + 0) FROM {t}
SELECT STD({num}), VARIANCE({num}), STDDEV_SAMP({num}), VAR_SAMP({num}) FROM {t}
SELECT SUM(REPLACE({big}, ',', '')), AVG(REPLACE({big}, ',', '')) FROM {t}
-- kind: min and max
SELECT MAX({num}), MIN({num}), MAX({num} + 0), MIN({num} + 0) FROM {t}
SELECT MAX({name}), MIN({name}), MAX({nul}), MIN({dec}) FROM {t}
SELECT MAX(CAST({dec} AS DECIMAL(10,3))), MIN(CAST({dec} AS DECIMAL(10,1))) FROM {t}
SELECT MAX({num} + 0) - MIN({num} + 0) FROM {t}
SELECT {name} FROM {t} WHERE {num} + 0 = (SELECT MAX({num} + 0) FROM {t})
-- kind: group_concat
SELECT GROUP_CONCAT({name}) FROM {t}
SELECT GROUP_CONCAT({name} ORDER BY {num} + 0 DESC SEPARATOR '; ') FROM {t}
SELECT GROUP_CONCAT(DISTINCT {word} ORDER BY {word}) FROM {t}
SELECT GROUP_CONCAT({name}, '=', {num} ORDER BY {name} SEPARATOR '|') FROM {t}
SELECT {word}, GROUP_CONCAT({num} ORDER BY {num}) FROM {t} GROUP BY {word}
SELECT GROUP_CONCAT({nul} SEPARATOR ''), GROUP_CONCAT(1.50) FROM {t}
-- kind: group by
SELECT {word}, COUNT(*) FROM {t} GROUP BY {word}
SELECT {word}, COUNT(*) AS c FROM {t} GROUP BY {word} HAVING c > 1
SELECT {word}, SUM({num}) FROM {t} GROUP BY {word} HAVING SUM({num}) > 40 ORDER BY 2 DESC
SELECT UPPER({word}) AS w, AVG({num}) FROM {t} GROUP BY w ORDER BY w
SELECT {word} FROM {t} GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 1
SELECT YEAR({date}), COUNT(*) FROM {t} GROUP BY YEAR({date}) ORDER BY 1
SELECT {num} > 30, COUNT(*) FROM {t} GROUP BY {num} > 30
SELECT {word}, MAX({num} + 0) FROM {t} GROUP BY {word} ORDER BY MAX({num} + 0) DESC
SELECT LEFT({name}, 1) AS initial, COUNT(*) FROM {t} GROUP BY initial HAVING COUNT(*) >= 1 ORDER BY initial
SELECT COUNT(*), {word} FROM {t} WHERE {num} > 5 GROUP BY {word} ORDER BY COUNT(*) DESC, {word} ASC
-- kind: having without group
SELECT {name} FROM {t} HAVING {name} = 'Ajax'
SELECT {num} + 0 AS n FROM {t} HAVING n > 20
SELECT COUNT(*) AS c FROM {t} HAVING c > 100
-- kind: distinct
SELECT DISTINCT {word} FROM {t}
SELECT DISTINCT {num} > 30 FROM {t}
SELECT DISTINCT {word}, {num} FROM {t} ORDER BY {word}, {num}
SELECT COUNT(DISTINCT {name}) FROM {t}
-- kind: order by
SELECT {name} FROM {t} ORDER BY {name}
SELECT {name} FROM {t} ORDER BY {num} DESC
SELECT {name} FROM {t} ORDER BY {num} + 0 DESC
SELECT {name} FROM {t} ORDER BY CAST({dec} AS DECIMAL(10,2)), {name}
SELECT {name}, {nul} FROM {t} ORDER BY {nul}, {name}
SELECT {name} AS n FROM {t} ORDER BY n DESC
SELECT {name} FROM {t} ORDER BY LENGTH({name}) DESC, {name}
SELECT {name}, {num} * 2 AS d FROM {t} ORDER BY d
SELECT {name} FROM {t} ORDER BY {num} = 31 DESC, {name}
SELECT {name} FROM {t} ORDER BY FIELD({name}, 'psv', 'ajax') DESC, {name}
SELECT {name} FROM {t} ORDER BY 1
-- kind: limit
SELECT {name} FROM {t} ORDER BY {num} + 0 LIMIT 2
SELECT {name} FROM {t} ORDER BY {num} + 0 LIMIT 1, 2
SELECT {name} FROM {t} ORDER BY {num} + 0 DESC LIMIT 1 OFFSET 1
SELECT {name} FROM {t} LIMIT 0
-- kind: scalar subquery
SELECT {name} FROM {t} WHERE {num} = (SELECT MAX({num}) FROM {t})
SELECT {name}, (SELECT COUNT(*) FROM {t}) FROM {t}
SELECT {name} FROM {t} WHERE {num} > (SELECT AVG({num}) FROM {t})
SELECT (SELECT {name} FROM {t} ORDER BY {num} + 0 LIMIT 1)
SELECT (SELECT {name} FROM {t})
-- kind: in subquery
SELECT {name} FROM {t} WHERE {word} IN (SELECT {word} FROM {t} WHERE {num} > 30)
SELECT {name} FROM {t} WHERE {num} + 0 IN (SELECT MAX({num} + 0) FROM {t})
SELECT {name} FROM {t} WHERE {name} NOT IN (SELECT {name} FROM {t} WHERE {num} > 30)
-- kind: exists and quantified
SELECT {name} FROM {t} a WHERE EXISTS (SELECT 1 FROM {t} b WHERE b.{num} + 0 > a.{num} + 0)
SELECT {name} FROM {t} a WHERE NOT EXISTS (SELECT 1 FROM {t} b WHERE b.{num} + 0 > a.{num} + 0)
SELECT {name} FROM {t} WHERE {num} + 0 >= ALL (SELECT {num} + 0 FROM {t})
SELECT {name} FROM {t} WHERE {num} = ANY (SELECT MIN({num}) FROM {t})
SELECT a.{name}, (SELECT COUNT(*) FROM {t} b WHERE b.{num} + 0 > a.{num} + 0) + 1 AS place FROM {t} a ORDER BY place, a.{name}
-- kind: derived table
SELECT AVG(n) FROM (SELECT {num} + 0 AS n FROM {t}) AS x
SELECT x.w, x.c FROM (SELECT {word} AS w, COUNT(*) AS c FROM {t} GROUP BY {word}) AS x WHERE x.c > 1
SELECT MAX(c) FROM (SELECT COUNT(*) AS c FROM {t} GROUP BY {word}) q
SELECT * FROM (SELECT {name}, {dec} FROM {t} ORDER BY {name} LIMIT 2) AS x
SELECT {name} FROM (SELECT {name} FROM {t})
-- kind: join
SELECT a.{name}, b.{name} FROM {t} a JOIN {t} b ON a.{word} = b.{word} AND a.{name} < b.{name}
SELECT a.{name}, b.{num} FROM {t} AS a LEFT JOIN {t} AS b ON a.{name} = b.{name} AND b.{num} > 30
SELECT COUNT(*) FROM {t} a, {t} b WHERE a.{num} = b.{num}
SELECT COUNT(*) FROM {t} a CROSS JOIN {t} b
SELECT a.{name} FROM {t} a INNER JOIN (SELECT MAX({num} + 0) AS m FROM {t}) b ON a.{num} + 0 = b.m
-- kind: union
SELECT {name} FROM {t} WHERE {num} > 30 UNION SELECT {name} FROM {t} WHERE {num} < 10
SELECT 'a' UNION SELECT 'A' UNION ALL SELECT 'b'
SELECT 1 UNION SELECT 2.50 ORDER BY 1 DESC
SELECT {word} AS w FROM {t} UNION ALL SELECT {name} FROM {t} ORDER BY w LIMIT 3
(SELECT {name} FROM {t} ORDER BY {num} + 0 LIMIT 1) UNION ALL (SELECT {name} FROM {t} ORDER BY {num} + 0 DESC LIMIT 1)
-- kind: with
WITH top AS (SELECT {name}, {num} + 0 AS n FROM {t} WHERE {num} > 5) SELECT {name} FROM top ORDER BY n DESC, {name}
WITH m AS (SELECT MAX({num} + 0) AS best FROM {t}) SELECT {name} FROM {t}, m WHERE {num} + 0 = m.best
-- kind: window
SELECT {name}, ROW_NUMBER() OVER (ORDER BY {num} + 0 DESC, {name}) FROM {t}
SELECT {name}, RANK() OVER (ORDER BY {num} > 30 DESC) FROM {t}
SELECT {name}, DENSE_RANK() OVER (PARTITION BY {word} ORDER BY {num} + 0) AS r FROM {t}
SELECT {name}, SUM({num}) OVER (), COUNT(*) OVER (PARTITION BY {word}) FROM {t}
SELECT {name} FROM (SELECT {name}, ROW_NUMBER() OVER (PARTITION BY {word} ORDER BY {num} + 0, {name}) AS r FROM {t}) x WHERE r = 1
-- kind: literals
SELECT 'it''s', "it's", 'a\'b', "say ""hi""", 'a\nb', 'tab\there', 'back\\slash', '\x\%', N'n'
SELECT _utf8mb4'u', x'41'
SELECT 7.400, 1.0, 100, 1e3, 1.5e-3, -0, 0.0, 00012, TRUE, NULL
SELECT 1e20, 1e15, 1e16, 123456789012345680e0, 0.00001e0, 1e-5 + 0, 1.1e0 * 3, 33.333333333333336e0
-- kind: names
SELECT `{name}` FROM `{t}`
SELECT {t}.{name} FROM {t}
SELECT `{t}`.`{num}`, x.{name} FROM {t}, (SELECT 1 AS {name}) x
SELECT {digits} FROM {t}
SELECT x.{digits} FROM {t} x WHERE x.{digits} > 0
SELECT * FROM {t}
SELECT {t}.*, {num} + 1 FROM {t}
SELECT {NAME} FROM {t} WHERE {NUM} > 5
-- kind: comments
SELECT {name} FROM {t} # a comment
SELECT {name} -- a comment
SELECT /* in between */ 1 + /* again */ 1
SELECT 5 - -3, 5--3, 5 -- 3
-- kind: show and describe
SHOW TABLES
DESCRIBE {t}
DESC `{t}`
SHOW COLUMNS FROM {t}
-- kind: statements with mistakes
SELECT missing FROM {t}
SELECT {name} FROM {t} WHERE missing = 1
SELECT {name} FROM nowhere
SELECT {name} FORM {t}
SELECT {name}, FROM {t}
SELECT {name} FROM {t} WHERE
SELECT {name} FROM {t} WHERE COUNT(*) > 1
SELECT LEFT({name}) FROM {t}
SELECT NO_SUCH_FUNCTION({name}) FROM {t}
SELECT {name}::int FROM {t}
SELECT Group FROM {t}
SELECT {name} FROM {t} LIMIT '1'
SELECT 1; SELECT 2
SELECT {name} ILIKE 'a' FROM {t}
SELECT {name} FROM {t} HAVING {num} > 3
SELECT 18446744073709551615 + 1, 9223372036854775807 + 1
SELECT CAST(1 AS UNSIGNED) - 2
-- kind: select with a bare column
SELECT {name}, MAX({num}) FROM {t} WHERE {name} = 'ajax'
SELECT {name}, {word} FROM {t} GROUP BY {name}
-- kind: update with text
UPDATE {t} SET {name} = 'New' WHERE {name} = 'ajax'
UPDATE {t} SET {name} = 'Smith\'s', {word} = "it's" WHERE {num} = '31'
UPDATE {t} SET {word} = '' WHERE {word} = ''
UPDATE {t} SET {nul} = NULL
UPDATE `{t}` SET `{name}` = 'x' WHERE `{name}` LIKE 'o%'
UPDATE {t} SET {name} = REPLACE({name}, 'a', 'o')
UPDATE {t} SET {name} = CONCAT({name}, '!') WHERE {nul} IS NULL
UPDATE {t} SET {name} = UPPER({name}), {word} = {name}
UPDATE {t} SET {digits} = '5' WHERE {name} = 'ajax'
-- kind: update with numbers
UPDATE {t} SET {dec} = 7.400
UPDATE {t} SET {dec} = 2.50 WHERE {name} = 'ajax'
UPDATE {t} SET {dec} = +5.10, {num} = -3.0 WHERE {name} = 'ajax'
UPDATE {t} SET {num} = 100.00, {dec} = 007, {word} = 1e3 WHERE {name} = 'ajax'
UPDATE {t} SET {num} = TRUE, {dec} = 1/3, {word} = 12345678901234567890
UPDATE {t} SET {num} = 0x41 WHERE {name} = 'ajax'
UPDATE {t} SET {dec} = 1.10 + 1, {num} = 2.50 * 2
-- kind: update from its own value
UPDATE {t} SET {num} = {num} + 1 WHERE {name} = 'ajax'
UPDATE {t} SET {num} = {num} + 1
UPDATE {t} SET {num} = {num} * 2 WHERE {name} = 'psv'
UPDATE {t} SET {num} = {num} - 0.5 WHERE {num} REGEXP '^[0-9]+$'
UPDATE {t} SET {dec} = ROUND({dec}, 1) WHERE {dec} REGEXP '^[0-9.]+$'
UPDATE {t} SET {dec} = {dec} / 2 WHERE {dec} REGEXP '^[0-9.]+$'
UPDATE {t} SET {num} = {num} + 1, {dec} = {num} WHERE {name} = 'ajax'
UPDATE {t} SET {num} = CAST({num} AS SIGNED) + 1 WHERE {name} = 'ajax'
-- kind: update by a number
UPDATE {t} SET {word} = 'x' WHERE {num} > 30
UPDATE {t} SET {word} = 'x' WHERE {name} = 'ajax' AND {num} = 31
UPDATE {t} SET {word} = 'x' WHERE {dec} = 3
-- kind: update with order and limit
UPDATE {t} SET {num} = '1' ORDER BY {num} LIMIT 1
UPDATE {t} SET {num} = '1' ORDER BY {name} DESC LIMIT 2
-- kind: update with an alias
UPDATE {t} AS x SET x.{num} = 1 WHERE x.{name} = 'ajax'
UPDATE {t} x SET {num} = 1 WHERE {name} = 'psv'
UPDATE {t} SET {t}.{num} = 1 WHERE {t}.{name} = 'psv'
-- kind: update with case and functions
UPDATE {t} SET {word} = CASE WHEN {num} = '31' THEN 'a' ELSE {word} END
UPDATE {t} SET {word} = IF({name} = 'psv', 'p', 'q')
UPDATE {t} SET {date} = DATE_ADD({date}, INTERVAL 1 DAY) WHERE {name} = 'ajax'
UPDATE {t} SET {date} = STR_TO_DATE('May 7, 2002', '%M %d, %Y') WHERE {name} = 'ajax'
UPDATE {t} SET {word} = LEFT({name}, 2), {nul} = LENGTH({name})
UPDATE {t} SET {nul} = COALESCE({nul}, 'none')
UPDATE {t} SET {num} = (SELECT MAX(n) FROM (SELECT {num} + 0 AS n FROM {t}) AS x) WHERE {name} = 'ajax'
-- kind: update that fails
UPDATE {t} SET missing = 1
UPDATE {t} SET {num} = {name} + 1
UPDATE {t} SET {num} = 1 / 0
UPDATE {t} SET {num} = CAST({name} AS SIGNED)
UPDATE nowhere SET a = 1
UPDATE {t} SET {num} = 'a', WHERE 1
-- kind: insert
INSERT INTO {t} VALUES ('X', 1.50, 007, 'w', NULL, '', 1e3, TRUE, 'a')
INSERT INTO {t} ({name}, {num}) VALUES ('Z', 5)
INSERT INTO {t} ({name}, {num}) VALUES ('Z', 5), ("Y", 6.0)
INSERT INTO `{t}` (`{name}`, `{dec}`) VALUES ('Smith\'s', 1.20)
INSERT INTO {t} ({name}) VALUE ('v')
INSERT {t} ({name}) VALUES (CONCAT('a', 1.50))
INSERT INTO {t} ({name}, {num}) VALUES ('a', 1 + 1), ('b', 7 / 2), ('c', -2.50), ('d', NULL), ('e', DEFAULT)
INSERT INTO {t} ({name}, {num}) VALUES ('5\n6', '5\n6')
-- kind: insert set
INSERT INTO {t} SET {name} = 'X', {num} = 5
INSERT INTO {t} SET `{digits}` = 1.0
-- kind: insert ignore and replace
INSERT IGNORE INTO {t} ({name}) VALUES ('q')
REPLACE INTO {t} ({name}, {num}) VALUES ('Ajax', 1)
-- kind: insert select
INSERT INTO {t} ({name}, {num}) SELECT {name}, {num} FROM {t} WHERE {num} > 30
INSERT INTO {t} ({name}, {num}) SELECT 'total', SUM({num}) FROM {t} WHERE {num} > 9
INSERT INTO {t} ({name}, {dec}) SELECT 'mean', AVG(CAST({dec} AS DECIMAL(10,2))) FROM {t} WHERE {dec} = 3
INSERT INTO {t} ({name}, {dec}) SELECT {word}, AVG({num} > 5) FROM {t} WHERE {num} > 9 GROUP BY {word}
INSERT INTO {t} ({name}, {dec}) SELECT DISTINCT 'd', 1 / 3 FROM {t}
-- kind: insert that fails
INSERT INTO {t} VALUES (1)
INSERT INTO {t} ({name}) VALUES (1, 2)
INSERT INTO {t} (missing) VALUES (1)
INSERT INTO {t} ({name}) VALUES ({num})
-- kind: delete
DELETE FROM {t} WHERE {name} = 'ajax'
DELETE FROM {t} WHERE {num} = '31' OR {nul} IS NULL
DELETE FROM {t}
DELETE FROM {t} WHERE {name} LIKE '%a%'
DELETE FROM {t} ORDER BY {num} DESC LIMIT 1
DELETE FROM {t} WHERE {name} IN ('ajax', 'OLE') LIMIT 1
DELETE FROM {t} WHERE {num} > 9
-- kind: other dialects
SELECT {name} GLOB 'A*' FROM {t}
SELECT {name} FROM {t} WHERE {name} MATCH 'x'
SELECT rowid FROM {t}
SELECT 'a' = 'a' COLLATE NOCASE
SELECT CAST({num} AS INTEGER) FROM {t}
SELECT CAST({num} AS REAL) FROM {t}
SELECT CAST({num} AS FLOAT) FROM {t}
SELECT CAST({num} AS INT) FROM {t}
SELECT CAST({name} AS TEXT) FROM {t}
SELECT CAST({name} AS VARCHAR(10)) FROM {t}
SELECT substr({name}, 1, 2), instr({name}, 'j'), ifnull({nul}, 'n'), total({num}) FROM {t}
SELECT strftime('%Y', {date}) FROM {t}
SELECT {name} FROM {t} ORDER BY {num} NULLS LAST
SELECT {name} FROM {t} LIMIT -1
SELECT {name} FROM {t} OFFSET 1
SELECT TOP 1 {name} FROM {t}
SELECT {name} FROM {t} FETCH FIRST 1 ROWS ONLY
SELECT * EXCEPT ({name}) FROM {t}
SELECT {name} FROM {t} QUALIFY 1
SELECT {name} FROM {t} WHERE {num} == 31
SELECT {name} FROM {t} WHERE {name} IS 'Ajax'
SELECT {name} FROM {t} WHERE {name} IS NOT DISTINCT FROM 'Ajax'
SELECT COUNT(*) FILTER (WHERE {num} > 9) FROM {t}
SELECT STRING_AGG({name}, ',') FROM {t}
SELECT IIF(1, 2, 3)
SELECT [{name}] FROM {t}
-- kind: precedence of operators
SELECT - - 5, +5, - '3', 5 & 3, 5 | 2, 5 ^ 1, ~0, 1 << 2
SELECT 1 = 1 = 1
SELECT 3 > 2 > 1
SELECT 5 BETWEEN 1 AND 10 AND 1
SELECT TRUE AND FALSE OR TRUE
SELECT 2 + 3 * 4 - 6 / 2 % 4
SELECT -2 * -3, 10 - 3 - 2, 2 * 3 DIV 4, 7 / 2 * 2
SELECT NOT 1 = 2, NOT NULL IS NULL, !1 + 1
SELECT 'a' LIKE 'A' = 1
SELECT 1 IN (1) = 1
SELECT CONCAT('a', NULL), CONCAT_WS(',', NULL), CONCAT()
SELECT LENGTH(NULL), UPPER(NULL), ROUND(NULL, 2)
SELECT INTERVAL(5, 1, 10)
SELECT COALESCE()
-- kind: questions as models ask them
SELECT {name} FROM {t} WHERE {num} = (SELECT {num} FROM {t} ORDER BY {num}+0 DESC LIMIT 1)
SELECT `{name}` FROM `{t}` WHERE `{big}` = (SELECT MAX(CAST(REPLACE(`{big}`, ',', '') AS UNSIGNED)) FROM `{t}`)
SELECT COUNT(DISTINCT {name}) AS num_teams FROM {t} WHERE {word} = 'oslo';
SELECT * FROM {t} WHERE {name} = 'Ajax' LIMIT 1;
SELECT {name}, {num} FROM {t} ORDER BY CAST({num} AS DECIMAL(10,2)) DESC LIMIT 1;
SELECT SUM(CAST(REPLACE({big}, ',', '') AS SIGNED)) FROM {t}
SELECT AVG(CAST({num} AS DECIMAL(10,2))) FROM {t}
SELECT AVG(CAST({num} AS SIGNED)) FROM {t}
SELECT MIN(CAST({num} AS SIGNED)) - 1 FROM {t}
SELECT COUNT(*) FROM {t} WHERE {word} IN ('Oslo') AND {num} IS NOT NULL AND {num} <> ''
SELECT {name} FROM {t} WHERE CAST(SUBSTRING_INDEX({long}, ', ', -1) AS UNSIGNED) > 1999
SELECT {name} FROM {t} WHERE STR_TO_DATE({long}, '%M %e, %Y') BETWEEN '2001-01-01' AND '2005-01-01'
SELECT DATEDIFF(STR_TO_DATE('May 6, 2001', '%M %d, %Y'), {date}) FROM {t}
SELECT {name} FROM {t} t1 WHERE (SELECT COUNT(*) FROM {t} t2 WHERE t2.{num} > t1.{num}) = 1
SELECT IF(EXISTS(SELECT 1 FROM {t} WHERE {name}='Ajax'), 'yes', 'no')
SELECT CASE WHEN COUNT(*) > 0 THEN 'Yes' ELSE 'No' END FROM {t} WHERE {name} LIKE 'a%'
SELECT (SELECT COUNT(*) FROM {t} WHERE {word}='Oslo') - (SELECT COUNT(*) FROM {t} WHERE {word}='Bergen')
SELECT (COUNT(*) / (SELECT COUNT(*) FROM {t})) * 100 FROM {t} WHERE {word} = 'oslo'
SELECT ROUND(COUNT(*) * 100.0 / 3, 2) FROM {t}
SELECT {name} FROM {t} WHERE {num} = MAX({num})
SELECT {word}, COUNT(*) AS count FROM {t} GROUP BY {word} ORDER BY count DESC, {word} LIMIT 1
SELECT {word} FROM {t} GROUP BY {word} HAVING COUNT(*) = 2 ORDER BY {word}
SELECT DISTINCT({word}) FROM {t}
SELECT ALL {word} FROM {t}
SELECT COUNT({name}) FROM {t} WHERE NOT ({word} = 'Oslo')
SELECT a.{name} FROM {t} a, {t} b WHERE a.{name} = 'Ajax' AND b.{name} = 'psv' AND a.{num} < b.{num}
SELECT {name} FROM {t} WHERE {name} REGEXP '[aeiou]{2}' OR {name} REGEXP '^.{3}$'
SELECT {name} AS 'the name' FROM {t} ORDER BY 'the name'
SELECT {name} FROM {t} ORDER BY `{name}` ASC, {num} DESC
SELECT {name} FROM {t} WHERE {date} >= '2001' AND {date} < '2005'
SELECT {name} FROM {t} WHERE {digits} = 1
SELECT COUNT(*) FROM {t} WHERE {num}
SELECT 1 FROM DUAL
SELECT {name} FROM {t} USE INDEX (x)
SELECT {name} || 'x' FROM {t}
SELECT {name} FROM {t} LIMIT 1 OFFSET 1
SELECT GROUP_CONCAT({name}, ', ') FROM {t}
SELECT "{name}" FROM {t} LIMIT 1
SELECT '{name}' FROM {t} LIMIT 1
SELECT {t}.{name} FROM {t} AS t
SELECT name, NAME FROM {t}
SELECT {name} FROM teams
SELECT T.{name} FROM {t} t
SELECT {name} FROM {t} WHERE {num} > ANY (SELECT '9')
SELECT {name} FROM {t} WHERE ({num}) IN ((31))
SELECT NOT {num} FROM {t}
SELECT * FROM {t} NATURAL JOIN {t} b
SELECT COUNT(*) FROM {t} a JOIN {t} b USING ({name})
SELECT * FROM (VALUES (1)) x
SELECT {name} FROM {t} WHERE {name} = 'Ajax' AND {num} = '31' XOR 1
SELECT {num} MOD 2, {num} DIV 2 FROM {t}
SELECT {name} FROM {t} WHERE {name} LIKE '%\_%' OR {name} LIKE '%\\%'
SELECT REPLACE(REPLACE({big}, ',', ''), '"', '') FROM {t}
SELECT SUM(CASE WHEN {word} = 'Oslo' THEN 1 ELSE 0 END), SUM({word} = 'Oslo'), COUNT(IF({word}='Oslo',1,NULL)) FROM {t}
SELECT MAX(LENGTH({name})), MIN(CHAR_LENGTH({name})) FROM {t}
SELECT {name} FROM {t} ORDER BY LENGTH({name}) DESC LIMIT 1
SELECT {word}, AVG({num}) a FROM {t} GROUP BY {word} HAVING a > 10 AND {word} <> 'x' ORDER BY a
SELECT {word}, SUM({num}) FROM {t} GROUP BY {word} WITH ROLLUP
SELECT MAX(t.c) FROM (SELECT {word}, COUNT(*) c FROM {t} GROUP BY {word}) t
SELECT ANY_VALUE({name}) FROM {t}
SELECT {num}+0 AS p FROM {t} ORDER BY p+1
SELECT {name} AS n FROM {t} WHERE n = 'Ajax'
SELECT {name} AS n FROM {t} GROUP BY n HAVING n = 'ajax'
SELECT {num} AS {name} FROM {t} ORDER BY {name}
SELECT 5 AS x FROM {t} GROUP BY x
SELECT COUNT(*) FROM {t} GROUP BY NULL
SELECT COUNT(*) FROM {t} HAVING 0
SELECT COUNT(*) FROM (SELECT 1 AS a, 2 AS a) x
SELECT -{num}, ABS({num}), {num} * -1 FROM {t}
SELECT CONVERT({num}, DECIMAL(10,1)), CONVERT({num}, UNSIGNED) FROM {t}
SELECT DATE_FORMAT(STR_TO_DATE({long}, '%M %d, %Y'), '%Y-%m-%d') FROM {t}
SELECT {date} + 0, {date} - 1 FROM {t}
SELECT YEAR({date}) + 1, MONTH({date}) * 2 FROM {t}
SELECT MAX(YEAR({date})) - MIN(YEAR({date})) FROM {t}
SELECT LEFT({date}, 4) AS y, COUNT(*) FROM {t} GROUP BY LEFT({date}, 4) ORDER BY y
SELECT {name} FROM {t} WHERE {date} = DATE('2001-05-06')
SELECT {name} FROM {t} WHERE {date} LIKE DATE('2001-05-06')
SELECT {name} FROM {t} WHERE {name} = 0
SELECT {name} FROM {t} WHERE {name} = TRUE
SELECT {name} FROM {t} WHERE {num} IN ('31', 9)
SELECT {name} FROM {t} WHERE {num} BETWEEN '1' AND 50
SELECT {name} FROM {t} WHERE {num} IN (SELECT 31)
SELECT REGEXP_REPLACE({big}, '[^0-9]', '') + 0 FROM {t}
SELECT REGEXP_SUBSTR({long}, '[0-9]{4}') FROM {t}
SELECT {name} FROM {t} WHERE REGEXP_LIKE({name}, 'a')
SELECT SUBSTRING({long}, LOCATE(',', {long}) + 2) FROM {t}
SELECT SUBSTRING({long}, -4, 4), SUBSTRING({long}, LENGTH({long}) - 3) FROM {t}
SELECT CAST(SUBSTRING({long}, LOCATE(' ', {long}) + 1, 2) AS UNSIGNED) FROM {t}
SELECT {name} FROM {t} WHERE {dec} > 2.9 ORDER BY {dec}
SELECT {name} FROM {t} WHERE {dec} = '3'
SELECT {name}, RANK() OVER (ORDER BY CAST({num} AS DECIMAL(10,2)) DESC) AS r FROM {t}
SELECT {name}, LAG({num}) OVER (ORDER BY {name}) FROM {t}
SELECT {name}, SUM({num}) OVER (ORDER BY {name} ROWS UNBOUNDED PRECEDING) FROM {t}
SELECT {name}, MAX({num}+0) OVER (PARTITION BY {word} ORDER BY {name}) FROM {t}
SELECT NTILE(2) OVER (ORDER BY {name}) FROM {t}
-- kind: changes as models write them
INSERT INTO {t} ({name}) VALUES ('a'), ('b',)
INSERT INTO {t} VALUES ()
INSERT INTO {t} () VALUES ()
INSERT INTO {t} ({name}, {name}) VALUES ('a', 'b')
INSERT INTO {t} ({name}) VALUES ('x') ON DUPLICATE KEY UPDATE {name} = 'y'
INSERT INTO {t} VALUES ('a','b','c','d','e','f','g','h','i'); DELETE FROM {t}
INSERT INTO `{t}` (`{name}`, `{digits}`) VALUES ("it's", "say \"hi\"")
INSERT INTO {t}({name},{num})VALUES('a',-0.0),('b',1E2),('c',.5),('d',5.),('e',1e-7),('f',1.10e1)
INSERT INTO {t}({name}) VALUES (TRUE AND FALSE), (1=1), (NULL IS NULL), (LENGTH('é')), (UPPER('é'))
INSERT INTO {t}({name}) VALUES (9999999999999999999999), (1.00000000000000000001), (0.1+0.2), (1e0/3), (2/3)
UPDATE {t} SET {num} = {num} + 1.5 WHERE {name} IN ('Ajax')
UPDATE {t} SET {num} = 'a' WHERE {name} = 'Ajax' AND
UPDATE {t} SET {num} = '40', {word} = 'x' WHERE {name} = 'Ajax' OR {name} = 'psv'
UPDATE {t} SET {num} = NULL WHERE {word} LIKE 'o%'
UPDATE {t} SET {num} = {num} || 'x'
UPDATE {t} SET {num} = 'x' WHERE {name} = 'Ajax' LIMIT 1
UPDATE {t} SET {num} = DEFAULT
UPDATE {t} SET {num} = {big}, {big} = {num} WHERE {name} = 'Ajax'
UPDATE {t} SET {num} = (SELECT 5)
UPDATE {t} SET {num} = (SELECT MAX({num}) FROM {t})
UPDATE {t} SET {num} = '5' WHERE {num} = (SELECT MAX({num}) FROM {t})
UPDATE {t}, {t} AS b SET {t}.{num} = 1
UPDATE {t} JOIN (SELECT 'Ajax' AS n) x ON {t}.{name} = x.n SET {t}.{num} = 1
UPDATE IGNORE {t} SET {num} = {name} + 1
DELETE {t} FROM {t} WHERE {name} = 'Ajax'
DELETE t FROM {t} t WHERE t.{name} = 'Ajax'
DELETE FROM {t} AS t WHERE t.{name} = 'Ajax'
DELETE FROM {t} WHERE 1
DELETE FROM {t} WHERE {num} > 30
DELETE FROM {t} t WHERE {name} = 'Ajax'
DELETE FROM {t} USING {t} WHERE {name} = 'Ajax'
DELETE FROM {t} WHERE {name} = (SELECT n FROM (SELECT {name} AS n FROM {t} ORDER BY {num} LIMIT 1) x)
-- kind: other statements
DESCRIBE {t} {name}
SHOW TABLES;
show columns from `{t}`;
TABLE {t}
VALUES (1)

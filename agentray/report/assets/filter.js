// Which trajectories are listed: filters, full-text search, and both in the page's address.

const NO_FILTER = { run: "", env: "", outcome: "", error: "", query: "" };
const ADDRESS = "#trajectories";
const OUTCOMES = [
  ["won", "Won"],
  ["lost", "Lost"],
  ["truncated", "Cut short"],
  ["unscored", "Infrastructure failure"],
  ["gained", "Won where the base lost"],
  ["regressed", "Lost where the base won"],
];

/** Filters and the opened row that an address names, or null when it names something else. */
function readAddress(hash) {
  const [place, query = ""] = hash.split("?", 2);
  if (place !== ADDRESS) return null;
  const given = new URLSearchParams(query);
  const filter = { ...NO_FILTER };
  for (const name of Object.keys(filter)) filter[name] = given.get(name) ?? "";
  const row = (name) => (/^\d+$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  return { filter, open: row("open"), beside: row("beside") };
}

function writeAddress(filter, open, beside) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) if (value) given.set(name, value);
  if (open !== null) given.set("open", open);
  if (open !== null && beside !== null) given.set("beside", beside);
  const query = given.toString();
  return query ? `${ADDRESS}?${query}` : ADDRESS;
}

function hasOutcome(archive, row, outcome) {
  const { columns } = archive;
  if (!outcome) return true;
  if (outcome === "truncated") return columns.truncated[row] === 1;
  if (outcome === "gained" || outcome === "regressed") {
    const base = archive.base(row);
    const [from, to] = outcome === "gained" ? ["lost", "won"] : ["won", "lost"];
    return base !== undefined && columns.outcome[base] === from && columns.outcome[row] === to;
  }
  return columns.outcome[row] === outcome;
}

/** Rows that pass all filters but the search. */
function filtered(archive, filter) {
  const { run, env, errors } = archive.columns;
  const error = archive.errors.findIndex((each) => each.type === filter.error);
  const rows = [];
  for (let row = 0; row < archive.size; row++) {
    if (filter.run && archive.runs[run[row]].name !== filter.run) continue;
    if (filter.env && env[row] !== filter.env) continue;
    if (filter.error && !errors[row].includes(error)) continue;
    if (hasOutcome(archive, row, filter.outcome)) rows.push(row);
  }
  return rows;
}

function holds(record, query) {
  const found = (text) => text !== undefined && text !== null && text.toLowerCase().includes(query);
  return (
    found(record.error) ||
    record.prompt.some((message) => found(message.text)) ||
    record.turns.some((turn) => found(turn.reply) || found(turn.observation) || found(turn.action))
  );
}

/**
 * Rows whose key, task line or text holds the query, in any case, yielded as they are found with the share
 * of the work that is done. Keys and task lines come first: they need no decoding.
 */
async function* search(archive, rows, query) {
  const wanted = query.trim().toLowerCase();
  const quick = (row) =>
    [archive.columns.key[row], archive.columns.title[row]].some((text) => text.toLowerCase().includes(wanted));
  const matches = new Set(rows.filter(quick));
  yield { matches, done: 0 };
  let next = 0;
  while (next < rows.length) {
    const number = Math.floor(rows[next] / archive.chunkRows);
    const chunk = await archive.chunk(number);
    for (; next < rows.length && Math.floor(rows[next] / archive.chunkRows) === number; next++) {
      if (!matches.has(rows[next]) && holds(chunk[rows[next] % archive.chunkRows], wanted)) matches.add(rows[next]);
    }
    yield { matches, done: next / rows.length };
  }
}

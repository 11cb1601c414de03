// Wires the browser: filters, list, detail, keyboard, and the address that names what is shown.

const byId = (id) => document.getElementById(id);

function tally(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function fill(select, all, options) {
  select.replaceChildren(...[["", all], ...options].map(([value, text]) => make("option", { value }, visible(text))));
}

class Browser {
  constructor(archive) {
    this.archive = archive;
    this.filter = { ...NO_FILTER };
    this.open = null;
    this.beside = null;
    this.comparing = false;
    this.searches = 0;
    this.list = new List(byId("list"), (row) => this.describe(row), (row, entered) => this.select(row, entered));
    this.detail = new Detail(byId("detail"), archive, (beside) => this.compare(beside));
    this.fillFilters();
    this.listen();
  }

  fillFilters() {
    const { runs, errors, columns } = this.archive;
    const envs = tally(columns.env);
    const kinds = tally(columns.errors.flat());
    const found = errors.map((each, index) => [each, kinds.get(index)]).filter(([, count]) => count);
    const gains = this.archive.runs.length > 1 ? OUTCOMES : OUTCOMES.slice(0, 4);
    fill(byId("filter-run"), "all", runs.map((run) => [run.name, run.name]));
    fill(byId("filter-env"), "all", [...envs].map(([env, count]) => [env, `${env} (${number(count)})`]));
    fill(byId("filter-outcome"), "all", gains);
    fill(byId("filter-error"), "any", found.map(([each, count]) => [each.type, `${each.title} (${number(count)})`]));
  }

  listen() {
    for (const name of Object.keys(NO_FILTER)) {
      byId(`filter-${name}`).addEventListener("input", (event) => {
        this.filter = { ...this.filter, [name]: event.target.value };
        this.refresh();
      });
    }
    byId("filter-clear").addEventListener("click", () => this.go({ filter: { ...NO_FILTER }, open: null, beside: null }));
    byId("filter-query").addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") {
        event.preventDefault();
        byId("list").focus({ preventScroll: true });
        this.list.move(Math.max(0, this.list.current));
      }
    });
    document.addEventListener("keydown", (event) => this.press(event));
    addEventListener("hashchange", () => {
      const named = readAddress(location.hash);
      if (named) this.go(named, true);
    });
  }

  /** Keys that work wherever one is in the page, but in a field only those that type nothing. */
  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      byId("filter-query").focus();
      byId("filter-query").select();
    } else if (event.key === "Escape" && byId("browser").contains(event.target)) {
      byId("list").focus({ preventScroll: true });
    } else if (event.key === "c" && !typing && this.open !== null && byId("browser").contains(event.target)) {
      const [first] = this.archive.beside(this.open);
      this.compare(this.beside === null && first !== undefined ? first : null);
    }
  }

  /** Show what an address names; anybody may have written it. */
  go({ filter, open, beside }, focus = false) {
    for (const [name, value] of Object.entries(filter)) {
      byId(`filter-${name}`).value = value;
      this.filter[name] = byId(`filter-${name}`).value; // empty where this page has no such choice
    }
    const known = (row) => (row !== null && row < this.archive.size ? row : null);
    this.open = known(open);
    this.comparing = known(beside) !== null;
    this.refresh();
    if (this.open !== null) this.set(this.open, known(beside));
    if (focus) {
      byId("trajectories").scrollIntoView();
      byId("list").focus({ preventScroll: true });
    }
  }

  /** List what passes the filters; a search goes on in the background and the list fills as it finds. */
  async refresh() {
    const call = ++this.searches;
    const rows = filtered(this.archive, this.filter);
    this.remember();
    if (!this.filter.query.trim()) return this.display(rows, "");
    for await (const { matches, done } of search(this.archive, rows, this.filter.query)) {
      if (call !== this.searches) return;
      const searching = done < 1 && rows.length ? `, searching, ${Math.floor(100 * done)}%` : "";
      if (matches.size !== this.listed || !searching) this.display(rows.filter((row) => matches.has(row)), searching);
      else this.say(searching);
    }
  }

  display(rows, more) {
    this.listed = rows.length;
    this.list.show(rows);
    this.say(more);
    if (!this.list.mark(this.open) && rows.length) this.begin(rows);
  }

  /** What to show before anything is chosen: a task that the base lost and another run won, if there is one. */
  begin(rows) {
    const filters = Object.values(this.filter).some(Boolean);
    const gained = filters ? undefined : rows.find((row) => hasOutcome(this.archive, row, "gained"));
    this.comparing ||= gained !== undefined || ["gained", "regressed"].includes(this.filter.outcome);
    this.set(gained ?? rows[0]);
    this.list.mark(this.open);
  }

  say(more) {
    byId("status").textContent = `${number(this.listed)} of ${number(this.archive.size)} trajectories${more}`;
  }

  select(row, entered) {
    this.set(row);
    this.remember();
    if (entered) byId("detail").focus({ preventScroll: true });
  }

  compare(beside) {
    this.comparing = beside !== null;
    this.set(this.open, beside);
    this.remember();
  }

  /** Open a row, beside its counterpart while comparing. */
  set(row, beside = this.comparing ? (this.archive.beside(row)[0] ?? null) : null) {
    [this.open, this.beside] = [row, beside];
    this.detail.show(row, beside);
  }

  remember() {
    const address = writeAddress(this.filter, this.open, this.beside);
    if (address !== ADDRESS || location.hash.startsWith(ADDRESS)) history.replaceState(null, "", address);
  }

  describe(row) {
    const { columns, runs } = this.archive;
    const outcome = columns.outcome[row];
    const sample = columns.sample[row] ? `sample ${columns.sample[row]}` : "";
    const run = runs.length > 1 ? runs[columns.run[row]].name : "";
    return [
      make("span", { className: `mark ${outcome}`, "aria-hidden": "true" }),
      make("span", { className: "line" }, visible(columns.title[row] || columns.id[row])),
      make(
        "span",
        { className: "under" },
        visible([columns.env[row], columns.id[row], sample, run].filter(Boolean).join(" · ")),
      ),
      make("span", { className: "ending" }, `${OUTCOME_WORDS[outcome]} · ${counted(columns.turns[row], "turn")}`),
    ];
  }
}

function start(archive) {
  byId("browser").hidden = false;
  const browser = new Browser(archive);
  const named = readAddress(location.hash);
  if (named && location.hash.includes("?")) browser.go(named, true);
  else browser.refresh();
  if (named) byId("trajectories").scrollIntoView(); // the page was shorter when it was opened
  document.documentElement.dataset.ready = "true";
}

if (window.DecompressionStream) Archive.open().then(start);
else byId("too-old").hidden = false;

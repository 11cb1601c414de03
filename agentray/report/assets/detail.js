// One trajectory turn by turn, or two attempts at the same task side by side.

const SPEAKERS = { system: "Instruction", user: "Environment", assistant: "Agent" };
const OUTCOME_WORDS = { won: "won", lost: "lost", unscored: "failed" };
const COLOURS = [
  ["loss", "what training takes loss on"],
  ["probability", "probability of each token"],
  ["none", "nothing"],
];

class Detail {
  /**
   * @param {HTMLElement} box where to show.
   * @param {Archive} archive the trajectories.
   * @param {(beside: number | null) => void} chosen called with the attempt to show beside.
   */
  constructor(box, archive, chosen) {
    this.box = box;
    this.archive = archive;
    this.chosen = chosen;
    this.wanted = "loss"; // the colour that was chosen last
    this.colour = "loss";
    this.shown = 0;
  }

  /** Show a row, with another beside it or null; the last call wins where decoding takes long. */
  async show(row, beside) {
    const call = ++this.shown;
    const rows = beside === null ? [row] : [row, beside].sort((a, b) => a - b);
    const columns = await Promise.all(rows.map(async (each) => ({ row: each, ...(await this.archive.record(each)) })));
    if (call !== this.shown) return;
    this.again = () => this.show(row, beside);
    const known = this.wanted !== "probability" || columns.some(hasProbabilities);
    this.colour = known ? this.wanted : "loss";
    this.box.dataset.colour = this.colour;
    this.box.setAttribute("aria-label", visible(`Trajectory ${this.archive.columns.key[row]}`));
    this.box.replaceChildren(
      this.head(row, beside, columns),
      this.colour === "probability" ? legend(columns) : "",
      make("div", { className: `columns columns-${columns.length}` }, ...columns.map((each) => this.facts(each))),
      ...this.prompts(columns),
      ...this.turns(columns),
    );
    this.box.scrollTop = 0;
  }

  head(row, beside, columns) {
    const { columns: list } = this.archive;
    const others = this.archive.beside(row);
    const colours = COLOURS.filter(([name]) => name !== "probability" || columns.some(hasProbabilities));
    return make(
      "header",
      {},
      make("h3", {}, visible(`${list.env[row]} · ${list.id[row]}`)),
      make("p", { className: "title", dir: "auto" }, visible(list.title[row])),
      make(
        "p",
        { className: "choices" },
        others.length ? this.besideChoice(beside, others) : "",
        choice("Colour", colours, this.colour, (value) => {
          this.wanted = value;
          this.again();
        }),
      ),
    );
  }

  besideChoice(beside, others) {
    const { sample, run, outcome } = this.archive.columns;
    const name = (row) => {
      const attempt = sample[row] ? `, sample ${sample[row]}` : "";
      return `${this.archive.runs[run[row]].name}${attempt}: ${OUTCOME_WORDS[outcome[row]]}`;
    };
    const options = [["", "no other attempt"], ...others.map((row) => [String(row), name(row)])];
    const shown = beside === null ? "" : String(beside);
    return choice("Beside", options, shown, (value) => this.chosen(value === "" ? null : Number(value)));
  }

  /** Who acted, how it ended, and what was found. */
  facts(each) {
    const { columns: list, runs, errors } = this.archive;
    const outcome = list.outcome[each.row];
    const written = each.turns.reduce((sum, turn) => sum + (turn.tokens ?? 0), 0);
    const name = runs[list.run[each.row]].name;
    const parts = [
      each.policy === name ? "" : each.policy,
      counted(each.turns.length, "turn"),
      written ? counted(written, "token") : "",
      each.seconds === null ? "" : `${number(each.seconds, 1)} s`,
      `seed ${each.seed}`,
      list.sample[each.row] ? `sample ${list.sample[each.row]}` : "",
      each.temperature ? `temperature ${number(each.temperature)}` : "",
    ];
    const kinds = list.errors[each.row].map((kind) => make("li", { title: errors[kind].rule }, errors[kind].title));
    return make(
      "section",
      { className: "facts-of" },
      make(
        "p",
        {},
        make("strong", {}, visible(name)),
        " ",
        make("span", { className: `outcome ${outcome}` }, verdict(list, each)),
      ),
      make("p", { className: "small" }, visible(parts.filter(Boolean).join(" · "))),
      make("p", { className: "small" }, metricsLine(each.metrics)),
      kinds.length ? make("ul", { className: "kinds", "aria-label": "Errors" }, ...kinds) : "",
      each.error ? make("pre", { className: "failure" }, visible(each.error)) : "",
    );
  }

  /** The instruction folded, and the task in full; once where both attempts were given the same. */
  prompts(columns) {
    const text = (each) => JSON.stringify(each.prompt);
    const distinct = columns.length === 2 && text(columns[0]) !== text(columns[1]) ? columns : columns.slice(0, 1);
    return [make("div", { className: `columns columns-${distinct.length}` }, ...distinct.map((each) => prompt(each)))];
  }

  turns(columns) {
    const most = Math.max(...columns.map((each) => each.turns.length));
    const sections = [];
    for (let index = 0; index < most; index++) {
      const cells = columns.map((each) =>
        each.turns[index] ? this.turn(each, index) : make("div", { className: "turn over" }),
      );
      const attributes = { className: `columns columns-${columns.length}`, "aria-label": `Turn ${index + 1}` };
      sections.push(make("section", attributes, ...cells));
    }
    return sections;
  }

  turn(each, index) {
    const turn = each.turns[index];
    const found = each.findings.filter(([, at]) => at === index).map(([kind]) => this.archive.errors[kind]);
    const facts = [
      turn.tokens === undefined ? "" : counted(turn.tokens, "token"),
      turn.seconds ? `${number(turn.seconds, 1)} s` : "",
      turn.reward ? `reward ${number(turn.reward)}` : "",
      turn.finish === "length" ? "cut at the token limit" : "",
    ];
    return make(
      "div",
      { className: "turn" },
      make(
        "p",
        { className: "speaker" },
        `Turn ${index + 1}`,
        make("span", {}, facts.filter(Boolean).join(" · ")),
        ...found.map((kind) => make("span", { className: "found", title: kind.rule }, kind.title)),
      ),
      make("div", { className: "with-loss" }, ...this.reply(turn)),
      action(turn),
      turn.observation ? block(turn.observation, "observation") : "",
    );
  }

  reply(turn) {
    if (this.colour !== "probability" || !turn.surprise) return [block(turn.reply, "reply")];
    if (!turn.lengths) return [block(turn.reply, "reply"), strip(turn.surprise)];
    return [make("pre", { className: "reply tokens", dir: "auto" }, ...tokens(turn.reply, turn.lengths, turn.surprise))];
  }
}

function hasProbabilities(each) {
  return each.turns.some((turn) => turn.surprise);
}

function verdict(list, each) {
  const reward = list.reward[each.row];
  const how = each.status === "truncated" ? ", cut short" : "";
  return reward === null ? "infrastructure failure" : `${list.outcome[each.row]}${how}, reward ${number(reward)}`;
}

function metricsLine(metrics) {
  return Object.entries(metrics)
    .map(([name, value]) => `${visible(name.replaceAll("_", " "))} ${value === null ? "unknown" : number(value)}`)
    .join(" · ");
}

/** The action that was parsed, where the reply does not plainly say it. */
function action(turn) {
  if (turn.action === undefined) return make("p", { className: "action none" }, "no action in this reply");
  return turn.reply.includes(turn.action.trim()) ? "" : make("p", { className: "action" }, make("span", {}, "acted: "), visible(turn.action));
}

function prompt(each) {
  const before = each.prompt.slice(0, -1);
  const last = each.prompt.at(-1);
  const parts = [];
  if (before.length) {
    const summary = make("summary", {}, `Instruction given first, ${counted(before.length, "message")}`);
    parts.push(make("details", { className: "fold" }, summary, ...before.map(message)));
  }
  return make("section", { className: "prompt" }, ...parts, last ? message(last) : "");
}

function message(each) {
  const body = block(each.text, each.role === "assistant" ? "reply" : "observation");
  return make(
    "div",
    { className: `message ${each.loss ? "with-loss" : ""}` },
    make("p", { className: "speaker" }, SPEAKERS[each.role] ?? visible(each.role)),
    body,
  );
}

function choice(label, options, value, changed) {
  const select = make("select", {}, ...options.map(([name, text]) => make("option", { value: name }, visible(text))));
  select.value = value;
  select.addEventListener("change", () => changed(select.value));
  return make("label", {}, `${label} `, select);
}

function legend(columns) {
  const steps = ["90% and more", "50%", "10%", "1%", "less"];
  const items = steps.map((text, level) => make("li", {}, make("span", { className: `token surprise-${level}` }, text)));
  const bounded = columns.some((each) => each.turns.some((turn) => turn.lengths));
  const without = "One cell per token: which text it is, only the model's tokenizer knows (see --set report.tokenizer).";
  return make(
    "div",
    { className: "token-legend" },
    make("ul", { "aria-label": "Probability of a token, at least" }, ...items),
    bounded ? "" : make("p", { className: "small" }, without),
  );
}

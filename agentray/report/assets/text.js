// Text as it enters the page: always through textContent, with what hides or reorders it made visible.

const LONG_CHARACTERS = 6000;
const SHOWN_CHARACTERS = 3000;
const LABEL = /^([ \t]*)(thought|think|action|act|final answer|answer|finish|operation)(?=\s*:)/gim;
const SURPRISE_STEPS = [11, 69, 230, 461]; // -100 ln p at p = 0.9, 0.5, 0.1 and 0.01

/** An element with properties (and data or aria attributes), and children; nothing is parsed as HTML. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Control characters as their pictures, and marks that reorder the text around them as �. */
function visible(text) {
  return text
    .replace(/\r\n/g, "\n")
    .replace(/[\0-\x08\x0b-\x1f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)))
    .replace(/\x7f/g, "\u2421")
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

function number(value, digits = 3) {
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

function counted(count, noun) {
  return `${number(count)} ${count === 1 ? noun : `${noun}s`}`;
}

/** Text with its labels ("Thought:", "Action:") in bold. */
function labelled(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LABEL)) {
    const start = match.index + match[1].length;
    parts.push(visible(text.slice(end, start)), make("b", {}, match[2]));
    end = start + match[2].length;
  }
  return [...parts, visible(text.slice(end))];
}

function surpriseLevel(surprise) {
  return SURPRISE_STEPS.filter((step) => surprise >= step).length;
}

function token(text, surprise) {
  const probability = Math.exp(-surprise / 100);
  const shown = probability < 0.001 ? "below 0.1%" : `${(100 * probability).toFixed(1)}%`;
  return make("span", { className: `token surprise-${surpriseLevel(surprise)}`, title: `probability ${shown}` }, text);
}

/** The reply cut at its token boundaries; a token without text lends its surprise to the next. */
function tokens(text, lengths, surprises) {
  const spans = [];
  let place = 0;
  let carried = 0;
  lengths.forEach((length, index) => {
    carried += surprises[index];
    if (length === 0) return;
    spans.push(token(visible(text.slice(place, place + length)), carried));
    place += length;
    carried = 0;
  });
  if (carried > 0 || lengths.at(-1) === 0) spans.push(token("⏹", carried));
  return spans;
}

/** Where boundaries are not known: one cell per token, in order. */
function strip(surprises) {
  const cells = surprises.map((surprise) => token("", surprise));
  return make("div", { className: "strip", role: "img", "aria-label": `${surprises.length} tokens` }, ...cells);
}

/** A block of text, of which a long one opens on demand. */
function block(text, className) {
  const body = make("pre", { className, dir: "auto" });
  if (!text) {
    body.append("(empty)");
    body.classList.add("empty");
    return body;
  }
  if (text.length <= LONG_CHARACTERS) {
    body.append(...(className === "reply" ? labelled(text) : [visible(text)]));
    return body;
  }
  const rest = make("button", { type: "button", className: "more" }, `… show all ${number(text.length)} characters`);
  rest.addEventListener("click", () => body.replaceChildren(visible(text)));
  body.append(visible(text.slice(0, SHOWN_CHARACTERS)), rest);
  return body;
}

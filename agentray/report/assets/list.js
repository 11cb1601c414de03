// A list of any length: only the rows in view are in the document. Keyboard and roles as a listbox has them.

const ROW_PIXELS = 52;
const SPARE_ROWS = 8;

class List {
  /**
   * @param {HTMLElement} box the listbox; it scrolls.
   * @param {(row: number) => Node[]} describe content of a row.
   * @param {(row: number, entered: boolean) => void} select called with the row that became current, and whether to enter it.
   */
  constructor(box, describe, select) {
    this.box = box;
    this.describe = describe;
    this.select = select;
    this.rows = [];
    this.current = -1; // place in `rows`
    this.window = make("div", { className: "window", role: "presentation" });
    this.space = make("div", { className: "space", role: "presentation" }, this.window);
    box.append(this.space);
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    box.addEventListener("keydown", (event) => this.press(event));
    box.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.move(Number(option.dataset.place));
    });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** Show other rows; the current one stays current where it is among them. */
  show(rows) {
    const row = this.rows[this.current];
    this.rows = rows;
    this.current = row === undefined ? -1 : rows.indexOf(row);
    this.space.style.height = `${rows.length * ROW_PIXELS}px`;
    if (this.current >= 0) this.reveal();
    else this.box.scrollTop = 0;
    this.draw();
  }

  /** Make a place in the list current, and tell. */
  move(place, entered = false) {
    if (!this.rows.length) return;
    this.current = Math.max(0, Math.min(this.rows.length - 1, place));
    this.reveal();
    this.draw();
    this.select(this.rows[this.current], entered);
  }

  /** Make a row current without telling; false when it is not listed. */
  mark(row) {
    this.current = this.rows.indexOf(row);
    if (this.current >= 0) this.reveal();
    this.draw();
    return this.current >= 0;
  }

  reveal() {
    const top = this.current * ROW_PIXELS;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW_PIXELS > scrollTop + clientHeight) this.box.scrollTop = top + ROW_PIXELS - clientHeight;
  }

  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW_PIXELS) - 1);
    const last = this.rows.length - 1;
    const places = {
      ArrowDown: this.current + 1,
      ArrowUp: Math.max(0, this.current - 1),
      PageDown: this.current + page,
      PageUp: this.current - page,
      Home: 0,
      End: last,
      Enter: Math.max(0, this.current),
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    this.move(places[event.key], event.key === "Enter");
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PIXELS) - SPARE_ROWS);
    const shown = Math.ceil(this.box.clientHeight / ROW_PIXELS) + 2 * SPARE_ROWS;
    const last = Math.min(this.rows.length, first + shown);
    const options = [];
    for (let place = first; place < last; place++) options.push(this.option(place));
    this.window.style.transform = `translateY(${first * ROW_PIXELS}px)`;
    this.window.replaceChildren(...options);
    const current = this.current >= first && this.current < last;
    if (current) this.box.setAttribute("aria-activedescendant", `option-${this.rows[this.current]}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  option(place) {
    const row = this.rows[place];
    return make(
      "div",
      {
        id: `option-${row}`,
        className: "option",
        role: "option",
        "data-place": place,
        "aria-selected": String(place === this.current),
        "aria-posinset": place + 1,
        "aria-setsize": this.rows.length,
      },
      ...this.describe(row),
    );
  }
}

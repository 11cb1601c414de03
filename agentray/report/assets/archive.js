// The embedded trajectories: blocks of gzip-compressed JSON in base64, each decoded when it is first needed.

const KEPT_CHUNKS = 256;

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function decodeBlock(name) {
  const bytes = bytesOf(document.getElementById(`block-${name}`).textContent);
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).json();
}

class Archive {
  static async open() {
    return new Archive(await decodeBlock("index"));
  }

  constructor(index) {
    this.runs = index.runs;
    this.errors = index.errors;
    this.columns = index.columns;
    this.size = index.columns.id.length;
    this.chunkRows = index.chunk_rows;
    this.numChunks = Math.ceil(this.size / this.chunkRows);
    this.chunks = new Map();
    this.attempts = new Map(); // rows of each task
    for (let row = 0; row < this.size; row++) {
      const task = this.columns.task[row];
      if (!this.attempts.has(task)) this.attempts.set(task, []);
      this.attempts.get(task).push(row);
    }
  }

  /** Other attempts at the same task, the same sample by another run first. */
  beside(row) {
    const { task, sample } = this.columns;
    const others = this.attempts.get(task[row]).filter((other) => other !== row);
    return others.sort((a, b) => (sample[b] === sample[row]) - (sample[a] === sample[row]) || a - b);
  }

  /** The same sample of the same task by the first run; undefined for that run itself. */
  base(row) {
    const { run, sample } = this.columns;
    if (run[row] === 0) return undefined;
    return this.beside(row).find((other) => run[other] === 0 && sample[other] === sample[row]);
  }

  async record(row) {
    const chunk = await this.chunk(Math.floor(row / this.chunkRows));
    return chunk[row % this.chunkRows];
  }

  /** Records of a chunk, with shared texts in their places. The oldest are forgotten when there are many. */
  chunk(number) {
    const known = this.chunks.get(number) ?? this.decodeChunk(number);
    this.chunks.delete(number);
    this.chunks.set(number, known);
    if (this.chunks.size > KEPT_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
    return known;
  }

  async decodeChunk(number) {
    this.texts ??= decodeBlock("texts");
    const [texts, records] = await Promise.all([this.texts, decodeBlock(`chunk-${number}`)]);
    const full = (text) => (typeof text === "number" ? texts[text] : text);
    for (const record of records) {
      for (const message of record.prompt) message.text = full(message.text);
      for (const turn of record.turns) {
        turn.reply = full(turn.reply);
        turn.observation = full(turn.observation);
      }
    }
    return records;
  }
}

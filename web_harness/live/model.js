// The model that this page brings: fetched, held against its hash, and run in a worker.

// What there is to choose from: WebAssembly goes everywhere.
export const ENGINES = [
  { id: "wasm", name: "WebAssembly", accelerator: "wasm", precision: null },
  { id: "webgpu", name: "WebGPU, half precision", accelerator: "webgpu", precision: "fp16" },
  { id: "webgpu-fp32", name: "WebGPU, float32", accelerator: "webgpu", precision: "fp32" },
];

// The page's own files lie beside it.
const BASE = new URL(".", location.href).href;

export async function describe() {
  const answer = await fetch("live.json");
  if (!answer.ok) throw new Error(`live.json can't be had: ${answer.status}`);
  return answer.json();
}

export class Model {
  constructor(info) {
    this.info = info;
    this.bytes = null;
    this.worker = null;
    this.waiting = null;
  }

  // Start an engine of `ENGINES` in place of the one that ran before; what it says of itself.
  async load(engine) {
    this.end();
    this.bytes ??= await fetched(this.info);
    this.worker = new Worker("worker.js");
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => this.hear({ problem: event.message || "the worker can't be started" });
    const { accelerator, precision } = engine;
    const { loaded } = await this.ask({
      load: { base: BASE, bytes: this.bytes, accelerator, precision, values: this.info.levels },
    });
    return loaded;
  }

  get isFree() {
    return this.worker !== null && this.waiting === null;
  }

  // The logits of one clip: its frames as `prepare` makes them.
  async run(frames) {
    return (await this.ask({ frames })).logits;
  }

  end() {
    this.worker?.terminate();
    this.worker = null;
    this.waiting?.reject(new Error("ended"));
    this.waiting = null;
  }

  ask(message) {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.worker.postMessage(message);
    });
  }

  hear(data) {
    const { waiting } = this;
    this.waiting = null;
    if (data.problem !== undefined) waiting?.reject(new Error(data.problem));
    else waiting?.resolve(data);
  }
}

async function fetched({ file, sha256 }) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file} can't be had: ${answer.status}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Error(`${file} isn't the file that this page was made with`);
  return bytes;
}

// Runs one job: a worker of its own, so that the page stays alive meanwhile, and a classic one (engine.js says why). It
// says the lines of docs/native-runner.md, and hashes them.

const VERSION = 1;
const POST_EVERY_MS = 200;

let wentHidden = false;
let job = null;
let base = "";
const said = [];
let sent = 0;
let lastPost = 0;

class GivenUp extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

self.onmessage = ({ data }) => {
  if (data.hidden) wentHidden = true;
  if (!data.job) return;
  ({ job, base } = data);
  perform().then(
    () => self.postMessage({ end: "" }),
    async (error) => {
      const message = String(error?.message ?? error).slice(0, 2000);
      try {
        say({ event: "error", code: error.code && typeof error.code === "string" ? error.code : "page", message });
        await post();
      } catch {
        // The computer has given up already, and says why by itself.
      }
      self.postMessage({ end: message });
    },
  );
};

async function perform() {
  const [model, clips] = await Promise.all([fetched("model"), fetched("input")]);
  const engines = await import(`${base}engine.js`);
  const engine = await engines.start(base, job.accelerator);
  say({
    event: "device",
    protocol: VERSION,
    runner: "dvfl-mobile-page",
    runtime: "LiteRT.js",
    version: job.version,
    abi: "wasm32",
    features: engine.features,
    cores: Math.max(1, navigator.hardwareConcurrency || 1),
  });
  const made = await engines.compile(engine, model, job);
  const { compiled: _, ...loaded } = made;
  say({ event: "load", ...loaded });
  await post();
  const logits = await run(engines, engine, made, clips);
  const bytes = new Uint8Array(logits.buffer);
  await put("output", bytes);
  const rows = job.mode === "run" ? job.clips : 1;
  say({
    event: "output",
    file: "output",
    bytes: bytes.byteLength,
    sha256: await sha256(bytes),
    shape: [rows, logits.length / rows],
    dtype: "float32",
  });
  say({ event: "memory", peak_bytes: null });
  const text = said.join("");
  say({
    event: "end",
    warmup: job.warmup,
    runs: job.mode === "run" ? job.clips : job.runs,
    clips: job.clips,
    lines: said.length,
    lines_sha256: await sha256(new TextEncoder().encode(job.opening + text)),
  });
  await post();
}

// Each clip once, or the one clip again and again; the logits of all clips, or of the last run. What a run is given lies
// in the model's reach before it, and a run has ended when its logits are here.
async function run({ tensorOf, logitsOf, now }, engine, made, clips) {
  const size = made.input.shape.reduce((product, each) => product * each, 1);
  const phases = job.mode === "run"
    ? Array.from({ length: job.clips }, (_, index) => ["clip", index])
    : [
      ...Array.from({ length: job.warmup }, (_, index) => ["warmup", index]),
      ...Array.from({ length: job.runs }, (_, index) => ["timed", index]),
    ];
  const kept = [];
  for (const [done, [phase, index]] of phases.entries()) {
    const at = phase === "clip" ? index * size : 0;
    const values = new Float32Array(clips.buffer, clips.byteOffset + 4 * at, size);
    const tensor = await tensorOf(engine, made, values);
    if (wentHidden) throw new GivenUp("hidden", "the page was put in the background, where browsers slow it down");
    const start = now();
    const { logits, free } = await logitsOf(made, tensor);
    const end = now();
    say({ event: "run", phase, index, start_ns: start, duration_ns: end - start });
    free();
    if (phase === "clip") kept.push(logits);
    else kept[0] = logits;
    if (performance.now() - lastPost > POST_EVERY_MS) {
      await post();
      self.postMessage({ done: done + 1 });
    }
  }
  const all = new Float32Array(kept.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const logits of kept) {
    all.set(logits, at);
    at += logits.length;
  }
  return all;
}

function say(event) {
  said.push(`${JSON.stringify(event)}\n`);
}

async function post() {
  lastPost = performance.now();
  if (sent === said.length) return;
  const from = sent;
  sent = said.length;
  await put(`lines?from=${from}`, new TextEncoder().encode(said.slice(from).join("")));
}

async function put(name, bytes) {
  const answer = await fetch(`${base}job/${job.id}/${name}`, { method: "POST", body: bytes });
  if (!answer.ok) throw new Error(await answer.text());
}

async function fetched(name) {
  const { bytes, sha256: wanted } = job[name];
  const answer = await fetch(`${base}job/${job.id}/${name}`);
  if (!answer.ok) throw new Error(await answer.text());
  const data = new Uint8Array(await answer.arrayBuffer());
  if (data.byteLength !== bytes || (await sha256(data)) !== wanted) {
    throw new GivenUp("changed", `the ${name} that came here isn't the one that was sent`);
  }
  return data;
}

async function sha256(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

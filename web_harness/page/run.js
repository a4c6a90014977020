// Runs one job: a worker of its own, so that the page stays alive meanwhile. A classic worker, since LiteRT.js loads its
// WebAssembly by importScripts, which a module has not. It says the lines of docs/native-runner.md, and hashes them.

const VERSION = 1;
const POST_EVERY_MS = 200;

// What LiteRT prints for each piece of a graph that WebGPU takes; it tells nobody otherwise.
const PIECE = "Initializing WebGPU-based API from graph";

let wentHidden = false;
let pieces = 0;
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
        say({ event: "error", code: error instanceof GivenUp ? error.code : "page", message });
        await post();
      } catch {
        // The computer has given up already, and says why by itself.
      }
      self.postMessage({ end: message });
    },
  );
};

// LiteRT's own prints go through this worker's console.
function listen() {
  for (const name of ["log", "info", "warn", "error"]) {
    const print = console[name].bind(console);
    console[name] = (...words) => {
      if (words.some((word) => String(word).includes(PIECE))) pieces += 1;
      print(...words);
    };
  }
}

async function perform() {
  listen();
  const [model, clips] = await Promise.all([fetched("model"), fetched("input")]);
  const core = await import(`${base}core.js`);
  const features = await found(core);
  const threads = job.accelerator === "wasm" && features.includes("threads");
  const jspi = job.accelerator === "webgpu" && features.includes("jspi");
  // A worker's scripts don't know where they came from.
  self.Module = { mainScriptUrlOrBlob: `${base}litert_wasm_threaded_internal.js` };
  const litert = await core.loadLiteRt(base, { threads, jspi });
  const most = threads ? litert.liteRtWasm.getThreadCount() : 1;
  if (job.threads && job.threads > most) {
    throw new GivenUp("threads", `LiteRT.js has ${most} here, and ${job.threads} were asked for`);
  }
  say({
    event: "device",
    protocol: VERSION,
    runner: "dvfl-mobile-page",
    runtime: "LiteRT.js",
    version: job.version,
    abi: "wasm32",
    features,
    cores: Math.max(1, navigator.hardwareConcurrency || 1),
  });
  const compiled = await compile(core, model, job.threads ?? most);
  await post();
  const logits = await run(core, compiled, clips);
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

async function found(core) {
  const names = { relaxedSimd: "relaxed_simd", threads: "threads", jspi: "jspi" };
  const there = [];
  for (const [feature, name] of Object.entries(names)) {
    if (await core.supportsFeature(feature)) there.push(name);
  }
  const without = (name) => there.filter((each) => each !== name);
  return self.crossOriginIsolated && there.includes("relaxed_simd") ? there : without("threads");
}

async function compile(core, model, threads) {
  const options = { accelerator: job.accelerator };
  if (job.accelerator === "webgpu") options.gpuOptions = { precision: job.precision };
  else options.cpuOptions = { numThreads: threads };
  const start = now();
  let compiled;
  try {
    compiled = await core.loadAndCompile(model, options);
  } catch (error) {
    throw new GivenUp(job.accelerator === "webgpu" ? "gpu" : "model", String(error?.message ?? error));
  }
  const load = now() - start;
  const onGpu = compiled.options.accelerator === "webgpu";
  if (job.accelerator === "webgpu" && !onGpu) {
    throw new GivenUp("gpu", "LiteRT.js leaves all of it to the CPU, since this browser can't divide it");
  }
  const [taken] = compiled.getInputDetails();
  const [given] = compiled.getOutputDetails();
  const about = ({ shape, dtype }) => ({ shape: Array.from(shape), dtype });
  say({
    event: "load",
    load_ns: load,
    threads: onGpu ? null : threads,
    delegate: onGpu ? "WebGPU" : "XNNPACK",
    whole: compiled.isFullyAccelerated,
    pieces: onGpu && pieces > 0 ? pieces : null,
    input: about(taken),
    output: about(given),
  });
  return compiled;
}

// Each clip once, or the one clip again and again; the logits of all clips, or of the last run. What a run is given lies
// in the model's reach before it, and a run has ended when its logits are here.
async function run(core, compiled, clips) {
  const [{ shape }] = compiled.getInputDetails();
  const size = shape.reduce((product, each) => product * each, 1);
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
    let tensor = new core.Tensor(values, Array.from(shape));
    if (job.accelerator === "webgpu") tensor = await tensor.moveTo("webgpu");
    if (wentHidden) throw new GivenUp("hidden", "the page was put in the background, where browsers slow it down");
    const start = now();
    const [output, ...others] = await compiled.run(tensor);
    const here = output.accelerator === "wasm" ? output : await output.moveTo("wasm");
    const logits = Float32Array.from(here.toTypedArray());
    const end = now();
    say({ event: "run", phase, index, start_ns: start, duration_ns: end - start });
    for (const each of [tensor, here, ...others]) each.delete();
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

// Whole nanoseconds of the page's clock, which browsers make coarser than that on purpose.
function now() {
  return Math.floor(performance.now() * 1e6);
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

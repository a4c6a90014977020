// LiteRT.js in a worker: started, given a model, asked for logits. A classic worker, since LiteRT.js loads its
// WebAssembly by importScripts, which a module has not; this file comes to it by `import()`.

// What LiteRT prints for each piece of a graph that WebGPU takes; it tells nobody otherwise.
const PIECE = "Initializing WebGPU-based API from graph";

let pieces = 0;

// Why there will be no logits; `code` says it in one word: `gpu`, `model` or `threads`.
export class EngineError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// LiteRT.js, ready for models. `base` is the address that its files lie at; `accelerator` is `wasm` or `webgpu`.
export async function start(base, accelerator) {
  listen();
  const core = await import(`${base}core.js`);
  const features = await found(core);
  const threads = accelerator === "wasm" && features.includes("threads");
  const jspi = accelerator === "webgpu" && features.includes("jspi");
  // A worker's scripts don't know where they came from.
  self.Module = { mainScriptUrlOrBlob: `${base}litert_wasm_threaded_internal.js` };
  const litert = await core.loadLiteRt(base, { threads, jspi });
  return { core, accelerator, features, threads: threads ? litert.liteRtWasm.getThreadCount() : 1 };
}

// A model that can run. `precision` is what WebGPU is to compute in; `threads` is for WebAssembly, null: all there are.
export async function compile(engine, model, { precision, threads }) {
  const { core, accelerator } = engine;
  if (threads && threads > engine.threads) {
    throw new EngineError("threads", `LiteRT.js has ${engine.threads} here, and ${threads} were asked for`);
  }
  const used = threads ?? engine.threads;
  const options = { accelerator };
  if (accelerator === "webgpu") options.gpuOptions = { precision };
  else options.cpuOptions = { numThreads: used };
  const begun = now();
  let compiled;
  try {
    compiled = await core.loadAndCompile(model, options);
  } catch (error) {
    throw new EngineError(accelerator === "webgpu" ? "gpu" : "model", String(error?.message ?? error));
  }
  const load = now() - begun;
  const onGpu = compiled.options.accelerator === "webgpu";
  if (accelerator === "webgpu" && !onGpu) {
    throw new EngineError("gpu", "LiteRT.js leaves all of it to the CPU, since this browser can't divide it");
  }
  const [taken] = compiled.getInputDetails();
  const [given] = compiled.getOutputDetails();
  const about = ({ shape, dtype }) => ({ shape: Array.from(shape), dtype });
  return {
    compiled,
    load_ns: load,
    threads: onGpu ? null : used,
    delegate: onGpu ? "WebGPU" : "XNNPACK",
    whole: compiled.isFullyAccelerated,
    pieces: onGpu && pieces > 0 ? pieces : null,
    input: about(taken),
    output: about(given),
  };
}

// The values of one clip, a Float32Array, in the model's reach.
export async function tensorOf(engine, model, values) {
  const tensor = new engine.core.Tensor(values, model.input.shape);
  return engine.accelerator === "webgpu" ? tensor.moveTo("webgpu") : tensor;
}

// The logits of one clip, a Float32Array; once they are looked at, or timed, `free` lets go of the tensors.
export async function logitsOf(model, tensor) {
  const [output, ...others] = await model.compiled.run(tensor);
  const here = output.accelerator === "wasm" ? output : await output.moveTo("wasm");
  const logits = Float32Array.from(here.toTypedArray());
  const free = () => [tensor, here, ...others].forEach((each) => each.delete());
  return { logits, free };
}

// Whole nanoseconds of the page's clock, which browsers make coarser than that on purpose.
export function now() {
  return Math.floor(performance.now() * 1e6);
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

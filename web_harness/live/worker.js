// Runs the model of the live page: a worker, so that the picture goes on meanwhile, and a classic one (engine.js says
// why). It hears `{ load }` once, and then `{ frames }`, one clip at a time.

let engines = null;
let engine = null;
let model = null;
let levels = null;

self.onmessage = async ({ data }) => {
  try {
    if (data.load) self.postMessage({ loaded: await load(data.load) });
    else self.postMessage({ logits: await logits(data.frames) });
  } catch (error) {
    self.postMessage({ problem: String(error?.message ?? error).slice(0, 2000) });
  }
};

async function load({ base, bytes, accelerator, precision, values }) {
  engines = await import(`${base}engine.js`);
  engine = await engines.start(base, accelerator);
  model = await engines.compile(engine, bytes, { precision, threads: null });
  levels = values.map((each) => Float32Array.from(each));
  // The first run makes what the others find: it isn't shown.
  const size = model.input.shape.reduce((product, each) => product * each, 1);
  await infer(new Float32Array(size));
  const { compiled: _, ...about } = model;
  return { ...about, features: engine.features };
}

// Logits of a clip: its frames are bytes in the order channel, row, column.
async function logits(frames) {
  const values = new Float32Array(frames.length * frames[0].length);
  const area = frames[0].length / 3;
  let at = 0;
  for (const frame of frames) {
    for (let channel = 0; channel < 3; channel += 1) {
      const level = levels[channel];
      for (let place = channel * area; place < (channel + 1) * area; place += 1) values[at++] = level[frame[place]];
    }
  }
  return infer(values);
}

async function infer(values) {
  const tensor = await engines.tensorOf(engine, model, values);
  const { logits, free } = await engines.logitsOf(model, tensor);
  free();
  return logits;
}

// From a picture to the pixels that the model is given: the rule of docs/video.md, in whole numbers, so that every byte
// is the one that dvfl_mobile/data/clips.py gives.

const PLANS = new Map();
const MOST_PLANS = 8;

// The crop of one picture, scaled, as bytes in the order channel (R, G, B), row, column.
//
// `picture` is `{ width, height, data }`: RGBA as a canvas gives it, or RGB. `spec` is the model's clip: `size` and
// `short_side`.
export function prepare(picture, spec) {
  const { width, height, data } = picture;
  const step = data.length / (width * height);
  if (step !== 3 && step !== 4) throw new RangeError(`${data.length} bytes are no picture of ${width}x${height}`);
  const { size } = spec;
  const { rows, columns } = plan(width, height, spec);
  const area = size * size;
  const pixels = new Uint8Array(3 * area);
  for (let y = 0; y < size; y += 1) {
    const upper = rows.low[y] * width * step;
    const lower = rows.high[y] * width * step;
    const c = rows.weight[y];
    for (let x = 0; x < size; x += 1) {
      const left = columns.low[x] * step;
      const right = columns.high[x] * step;
      const b = columns.weight[x];
      for (let channel = 0; channel < 3; channel += 1) {
        const above = data[upper + left + channel] * (2048 - b) + data[upper + right + channel] * b;
        const below = data[lower + left + channel] * (2048 - b) + data[lower + right + channel] * b;
        const sum = (((above >> 4) * (2048 - c)) >> 16) + (((below >> 4) * c) >> 16);
        pixels[channel * area + y * size + x] = (sum + 2) >> 2;
      }
    }
  }
  return pixels;
}

// Where each row and column of the crop looks in a picture of this size.
function plan(width, height, spec) {
  const key = `${width}x${height} ${spec.size} ${spec.short_side}`;
  const known = PLANS.get(key);
  if (known) return known;
  const scale = spec.short_side / Math.min(width, height);
  const made = {
    rows: axis(height, Math.trunc(height * scale + 0.5), spec.size),
    columns: axis(width, Math.trunc(width * scale + 0.5), spec.size),
  };
  if (PLANS.size >= MOST_PLANS) PLANS.clear();
  PLANS.set(key, made);
  return made;
}

// For each place of the crop, the two of the picture that it lies between, and the second one's weight of 2048.
function axis(length, resized, size) {
  const start = Math.floor((resized - size) / 2);
  const low = new Int32Array(size);
  const high = new Int32Array(size);
  const weight = new Int32Array(size);
  for (let place = 0; place < size; place += 1) {
    const n = (2 * (start + place) + 1) * length - resized;
    const before = Math.floor(n / (2 * resized));
    const rest = n - before * 2 * resized;
    low[place] = Math.max(before, 0);
    high[place] = Math.min(before + 1, length - 1);
    weight[place] = Math.floor((rest * 2048 + resized) / (2 * resized));
  }
  return { low, high, weight };
}

// Which frames of a camera make a clip, and when one is due: dvfl_mobile/data/camera.py, which says it in words.

const TICKS_PER_S = 30;
const US_PER_S = 1e6;

// Gives each tick of a clock of 30 a second the frame nearest to it in time, the earlier of two equally near.
export class Ticks {
  constructor() {
    this.first = null;
    this.last = null;
    this.next = 0;
  }

  // The ticks `[from, to)` that the frame before this one stands for; null: this one isn't later, and doesn't count.
  add(timeUs) {
    if (this.first === null) {
      this.first = timeUs;
      this.last = 0;
      return [0, 0];
    }
    const since = timeUs - this.first;
    if (since <= this.last) return null;
    const until = Math.floor((TICKS_PER_S * (this.last + since)) / (2 * US_PER_S));
    this.last = since;
    return this.until(until);
  }

  // The ticks that the last frame stands for: up to half a tick after it.
  end() {
    if (this.first === null) return [0, 0];
    return this.until(Math.floor((2 * TICKS_PER_S * this.last + US_PER_S) / (2 * US_PER_S)));
  }

  until(last) {
    const from = this.next;
    this.next = Math.max(last + 1, from);
    return [from, this.next];
  }
}

// Makes clips of frames as they come. `spec` is the model's clip, `every` the ticks from one clip to the next, `keep`
// makes what is kept of a frame, and is asked once for each that belongs to a clip.
export class Camera {
  constructor(spec, every, keep) {
    Object.assign(this, { spec, every, keep });
    this.ticks = new Ticks();
    this.before = null;
    this.kept = new Map();
  }

  // The clips that are due now that this frame is here: `[{ tick, seconds, frames }]`, usually none, or one.
  add(timeUs, frame) {
    const settled = this.ticks.add(timeUs);
    if (settled === null) return [];
    const due = this.settle(settled);
    this.before = frame;
    return due;
  }

  // Those that are due because no frame comes any more.
  end() {
    return this.settle(this.ticks.end());
  }

  settle([from, to]) {
    const { spec } = this;
    const due = [];
    let kept = null;
    for (let tick = from; tick < to; tick += 1) {
      if (!isNeeded(tick, spec, this.every)) continue;
      kept ??= this.keep(this.before);
      this.kept.set(tick, kept);
      if (!isDue(tick, spec, this.every)) continue;
      const first = firstOf(tick, spec);
      const frames = Array.from({ length: spec.frames }, (_, place) => this.kept.get(first + place * spec.frame_interval));
      due.push({ tick, seconds: tick / TICKS_PER_S, frames });
      for (const each of this.kept.keys()) if (each <= first) this.kept.delete(each);
    }
    return due;
  }
}

// Whether a clip ends with this tick.
export function isDue(tick, spec, every) {
  return begins(firstOf(tick, spec), every);
}

// Whether a tick belongs to any clip.
export function isNeeded(tick, spec, every) {
  for (let place = 0; place < spec.frames; place += 1) {
    if (begins(tick - place * spec.frame_interval, every)) return true;
  }
  return false;
}

// The first tick of the clip that ends with this one.
function firstOf(tick, spec) {
  return tick - (spec.frames - 1) * spec.frame_interval;
}

// Whether a clip begins with this tick.
function begins(tick, every) {
  return tick >= 0 && tick % every === 0;
}

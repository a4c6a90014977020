// When to answer, how to smooth, and when to say nothing: the sums of dvfl_mobile/streaming/policy.py, to the bit.
// They are additions, multiplications, divisions and floor on doubles, in one order: `Math.exp` need not give the same
// on two engines. Decisions are made on probabilities in whole billionths.

const BILLION = 1e9;
const LN2 = 0.6931471805599453;
// ln 2 in two parts, of which the first has so few bits that it times a small whole number is exact (fdlibm).
const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;
const LOWEST = -40;
const TERMS = 13;

// The answers to one stream, one after the other. `policy` is the document of docs/stream.md, `classes` how many the
// model knows.
export class Answers {
  constructor(policy, classes) {
    checkPolicy(policy);
    this.policy = policy;
    this.classes = classes;
    this.threshold = whole(policy.threshold);
    this.hysteresis = whole(policy.hysteresis);
    this.seconds = null;
    this.smoothed = null;
    this.said = null;
  }

  // What is said now: `{label, probability, probabilities}`; a label of null is "don't know". `seconds` is when, by any
  // clock that goes on; `logits` are those of the clip that ends now.
  add(seconds, logits) {
    const given = Array.from(logits, Number);
    if (given.length !== this.classes || !given.every(Number.isFinite)) {
      throw new RangeError(`An answer takes ${this.classes} finite logits.`);
    }
    if (!Number.isFinite(seconds) || (this.seconds !== null && seconds <= this.seconds)) {
      throw new RangeError(`An answer at ${seconds} s can't follow one at ${this.seconds} s.`);
    }
    const now = probabilitiesOf(given);
    if (this.smoothed === null) {
      this.smoothed = now;
    } else {
      const keep = kept(seconds - this.seconds, this.policy.half_life_s);
      const before = this.smoothed;
      this.smoothed = now.map((value, index) => before[index] * keep + value * (1 - keep));
    }
    this.seconds = seconds;
    const parts = this.smoothed.map(whole);
    let best = 0;
    for (let index = 1; index < parts.length; index += 1) if (parts[index] > parts[best]) best = index;
    const held = this.said === null ? null : parts[this.said];
    const stays = held !== null && held >= this.threshold - this.hysteresis && parts[best] - held <= this.hysteresis;
    if (!stays) this.said = parts[best] >= this.threshold ? best : null;
    return {
      label: this.said,
      probability: parts[this.said ?? best] / BILLION,
      probabilities: parts.map((part) => part / BILLION),
    };
  }
}

// Throws a RangeError that names the field, where a policy isn't one.
export function checkPolicy(policy) {
  const bounds = {
    schema_version: [1, 1],
    every: [1, 3000],
    half_life_s: [0, 3600],
    threshold: [0, 1],
    hysteresis: [0, 1],
  };
  for (const name of Object.keys(policy ?? {})) {
    if (!(name in bounds)) throw new RangeError(`A policy has no ${name}.`);
  }
  for (const [name, [least, most]] of Object.entries(bounds)) {
    const value = policy?.[name];
    const isWhole = name !== "every" || Number.isInteger(value);
    if (typeof value !== "number" || !isWhole || !(value >= least && value <= most)) {
      throw new RangeError(`A policy's ${name} is a number from ${least} to ${most}, not ${value}.`);
    }
  }
}

function whole(share) {
  return Math.floor(share * BILLION + 0.5);
}

function probabilitiesOf(logits) {
  const most = logits.reduce((left, right) => Math.max(left, right));
  const odds = logits.map((logit) => exp(logit - most));
  const sum = odds.reduce((left, right) => left + right);
  return odds.map((each) => each / sum);
}

function kept(seconds, halfLife) {
  return halfLife > 0 ? exp(-(seconds / halfLife) * LN2) : 0;
}

// e to the power of a number that isn't above 0; below -40, where it is under a billionth by far, it is that of -40.
function exp(number) {
  const x = Math.max(number, LOWEST);
  const doublings = Math.floor(x / LN2 + 0.5);
  const rest = x - doublings * LN2_HIGH - doublings * LN2_LOW;
  let total = 1;
  for (let term = TERMS; term > 0; term -= 1) total = 1 + (rest * total) / term;
  for (let halving = doublings; halving < 0; halving += 1) total *= 0.5;
  return total;
}

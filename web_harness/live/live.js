// A camera, or a video, to answers: joins the source of pictures, the rules of docs/video.md, the model and the policy of
// docs/stream.md, and lets the page be worked.

import { Camera } from "./camera.js";
import { facts as aboutBrowser } from "./facts.js";
import { describe, ENGINES, Model } from "./model.js";
import { keep } from "./offline.js";
import { prepare } from "./pixels.js";
import { Answers } from "./policy.js";
import { Source } from "./source.js";
import * as view from "./view.js";

const WINDOW_MS = 5000;
const FACTS_EVERY_MS = 500;

const element = (id) => document.getElementById(id);
const slots = [0, 1].map(() => {
  const canvas = document.createElement("canvas");
  return { canvas, context: canvas.getContext("2d", { alpha: false, willReadFrequently: true }) };
});
const source = new Source(element("video"), { onFrame, onEnd, onLost });

let info = null;
let model = null;
let engine = ENGINES[0];
let loaded = null;
let about = null;
let stream = null;
let state = "loading";
let turns = 0;
let lock = null;

// What is known of one stretch of a stream: it begins anew where the pictures do.
function begin() {
  const { clip, policy, classes } = info;
  stream = { camera: new Camera(clip, policy.every, kept), answers: new Answers(policy, classes.length), size: "" };
  view.answers(null, []);
}

// Of everything that was answered lately, and of all that was not.
let counts = null;
function count() {
  counts = { latencies: [], times: [], skipped: 0 };
}

function onFrame(timeUs) {
  if (state !== "running" || stream === null) return;
  const { width, height } = source.size;
  // The callback can come before the frame can be drawn: a canvas leaves then what it had, black.
  if (!width || !height || !source.hasFrame) return;
  if (stream.size !== `${width}x${height}`) {
    // Turned: what was kept is of another shape, which the model doesn't mind.
    stream.size = `${width}x${height}`;
    view.frame({ width, height }, info.clip.size / info.clip.short_side);
  }
  const slot = slots[stream.camera.before === slots[0] ? 1 : 0];
  if (slot.canvas.width !== width || slot.canvas.height !== height) Object.assign(slot.canvas, { width, height });
  slot.context.drawImage(element("video"), 0, 0, width, height);
  look(stream.camera.add(timeUs, slot));
}

// What is kept of a frame: what the model is given, and for a test that listens, what that was made of.
function kept({ canvas, context }) {
  const { width, height } = canvas;
  const picture = { width, height, data: context.getImageData(0, 0, width, height).data };
  return { pixels: prepare(picture, info.clip), picture: globalThis.dvflMobileWitness ? picture : null };
}

// Have the model look at the last of the clips that are due; those that it has no time for are counted.
async function look(due) {
  if (!due.length) return;
  const isLooked = model.isFree && loaded !== null;
  counts.skipped += due.length - (isLooked ? 1 : 0);
  if (!isLooked) return;
  const clip = due.at(-1);
  const asked = stream;
  const start = performance.now();
  let logits;
  try {
    logits = await model.run(clip.frames.map(({ pixels }) => pixels));
  } catch (error) {
    if (error.message !== "ended") await fallBack(error.message);
    return;
  }
  const now = performance.now();
  if (asked !== stream) return;
  counts.latencies.push([now, now - start]);
  counts.times.push(now);
  const answer = stream.answers.add(clip.seconds, logits);
  view.answers(answer, info.classes);
  globalThis.dvflMobileWitness?.({ ...clip, logits, answer });
}

function onEnd() {
  if (state !== "running") return;
  if (stream) look(stream.camera.end());
  to("ended");
}

function onLost() {
  source.stop();
  stopped("lost");
}

function to(next) {
  state = next;
  view.picture(next, source);
  if (next === "running") stayAwake();
  else lock?.release().catch(() => {});
}

function stopped(next, detail = "") {
  state = next;
  turns += 1;
  stream = counts = null;
  view.cover(next, detail);
  lock?.release().catch(() => {});
}

async function startCamera() {
  await show("asking", () => source.openCamera());
}

async function turn() {
  if (source.hasOther) await show("asking", () => source.turn());
}

async function openFile(file) {
  if (file && state !== "loading" && state !== "failed") await show("opening", () => source.openFile(file), file.name);
}

// Begin with another source: the state meanwhile, and what comes of it.
async function show(meanwhile, open, name = "") {
  stopped(meanwhile, name);
  count();
  begin();
  // The first frame may come before the promise is kept.
  state = "running";
  const turn = turns;
  try {
    await open();
    if (turn !== turns) return;
    to("running");
    element("stage").focus({ preventScroll: true });
  } catch (error) {
    if (turn !== turns) return;
    source.stop();
    stopped(error.kind ?? "busy", error.kind === "unplayable" ? `(${name}: ${error.message})` : "");
    element(name ? "open" : "start").focus({ preventScroll: true });
  }
}

async function pause() {
  if (state === "running") {
    to("paused");
    source.pause();
  } else if (state === "paused" || state === "ended") {
    begin();
    to("running");
    await source.resume();
  }
}

function stop() {
  if (!counts) return;
  source.stop();
  stopped("ready");
  element("start").focus({ preventScroll: true });
}

async function stayAwake() {
  try {
    lock = await navigator.wakeLock?.request("screen");
  } catch {
    // It is a help, and not needed.
  }
}

async function load(chosen) {
  loaded = null;
  engine = chosen;
  offer();
  loaded = await model.load(chosen);
  showFacts();
}

// WebGPU takes not every graph, nor does every browser have it whole: WebAssembly goes everywhere.
async function fallBack(why) {
  if (engine === ENGINES[0]) {
    source.stop();
    stopped("failed", why);
    return;
  }
  view.note(`${engine.name} doesn’t run this model here (${why}). WebAssembly does.`);
  await choose(ENGINES[0]);
}

async function choose(chosen) {
  element("engine").disabled = true;
  try {
    await load(chosen);
    if (counts) count();
  } catch (error) {
    if (error.message !== "ended") await fallBack(error.message);
  } finally {
    element("engine").disabled = false;
  }
}

function offer() {
  const list = ENGINES.map((each) => ({
    ...each,
    why: each.accelerator === "webgpu" && !about.adapter ? "not in this browser" : "",
  }));
  view.engines(list, engine.id);
}

function showFacts() {
  if (counts) {
    counts.latencies = lately(counts.latencies, ([at]) => at, 1);
    counts.times = lately(counts.times, (at) => at, 2);
  }
  const late = (counts?.latencies ?? []).map(([, each]) => each).sort((a, b) => a - b);
  const times = counts?.times ?? [];
  const rate = times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : null;
  view.facts([
    ["Latency", late.length ? `${late[Math.floor(late.length / 2)].toFixed(0)} ms` : "–"],
    ["Clips a second", rate === null ? "–" : rate.toFixed(1)],
    ["Dropped frames", counts ? String(source.dropped) : "–"],
    ["Skipped clips", counts ? String(counts.skipped) : "–"],
    ["Runs on", runsOn()],
  ]);
}

// Those of the last seconds; of a slow device the last few, however old.
function lately(list, timeOf, least) {
  const since = performance.now() - WINDOW_MS;
  const recent = list.filter((each) => timeOf(each) > since);
  return recent.length < least ? list.slice(-least) : recent;
}

function runsOn() {
  if (!loaded) return "–";
  if (loaded.delegate === "WebGPU") return loaded.whole ? "WebGPU" : "WebGPU, and WebAssembly for the rest";
  const threads = loaded.threads > 1 ? `, ${loaded.threads} threads` : "";
  return `WebAssembly${threads}${about.adapter ? "" : " (no WebGPU here)"}`;
}

const KEYS = { p: pause, c: turn, o: () => element("file").click(), s: stop };

function listen() {
  element("start").onclick = startCamera;
  element("open").onclick = element("other").onclick = KEYS.o;
  element("again").onclick = () => location.reload();
  element("pause").onclick = pause;
  element("turn").onclick = turn;
  element("stop").onclick = stop;
  element("file").onchange = ({ target }) => {
    openFile(target.files[0]);
    target.value = "";
  };
  element("engine").onchange = ({ target }) => {
    view.note("");
    choose(ENGINES.find((each) => each.id === target.value));
  };
  // Single letters count where the picture has the focus, and nowhere else: a voice that types would press them all.
  element("stage").addEventListener("keydown", (event) => {
    const act = event.target === element("stage") && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key.toLowerCase()];
    if (!act || event.repeat) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    element("drop").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) element("drop").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    element("drop").hidden = true;
    openFile(event.dataTransfer.files[0]);
  });
  // A page that nobody sees gets no pictures: the clock begins anew when it is seen again.
  document.addEventListener("visibilitychange", () => {
    if (state !== "running") return;
    source.look(!document.hidden);
    if (document.hidden) stream = null;
    else {
      begin();
      stayAwake();
    }
  });
  setInterval(showFacts, FACTS_EVERY_MS);
}

async function main() {
  view.cover("loading");
  try {
    [info, about] = await Promise.all([describe(), aboutBrowser()]);
    element("about").textContent = [`${info.model}, ${info.target}, ${info.recipe}. ${info.classes.length} classes.`, ...info.notes].join(" ");
    document.title = `${info.model} live`;
    model = new Model(info);
    listen();
    await load(engine);
    element("engine").disabled = false;
    stopped("ready");
  } catch (error) {
    stopped("failed", String(error?.message ?? error));
    return;
  }
  if (info.offline) await stay();
}

async function stay() {
  try {
    await keep(loaded.features);
    document.body.dataset.kept = "yes";
    element("about").append(" Works without a network from now on.");
  } catch {
    // It is a help, and not needed: a host without HTTPS has none.
  }
}

main();

// Attends to the computer that serves this page: says what this browser is, waits for a job, has a worker do it, and is
// loaded anew for the next, so that each job finds a fresh page. docs/web.md describes the conversation.

import { facts, shown } from "./facts.js";

const state = document.getElementById("state");
const progress = document.getElementById("progress");
let over = false;

function say(text, wrong = false) {
  state.textContent = text;
  state.classList.toggle("wrong", wrong);
}

function end(text, wrong = true) {
  over = true;
  progress.hidden = true;
  say(text, wrong);
}

// A page that is loaded anew stays who it was; another tab, or another phone, is somebody else.
function ownName() {
  const kept = sessionStorage.getItem("page");
  if (kept) return kept;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("page", made);
  return made;
}

function list(about) {
  const rows = shown(about).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  });
  document.getElementById("facts").replaceChildren(...rows);
}

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // It is a help, and not needed.
  }
}

// One job, by a worker: its last message says that all went well, or why not.
function work(job) {
  const worker = new Worker("run.js");
  progress.max = job.mode === "run" ? job.clips : job.warmup + job.runs;
  progress.value = 0;
  progress.hidden = false;
  say("Running the model …");
  return new Promise((resolve) => {
    const hidden = () => document.hidden && worker.postMessage({ hidden: true });
    document.addEventListener("visibilitychange", hidden);
    worker.onerror = (event) => resolve(event.message || "the worker that runs the model can't be started");
    worker.onmessage = ({ data }) => {
      if (data.done !== undefined) progress.value = data.done;
      if (data.end !== undefined) resolve(data.end);
    };
    worker.postMessage({ job, base: new URL(".", location.href).href, hidden: document.hidden });
  });
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts.filter((part) => part);
  }
}

async function attend() {
  const about = await facts();
  list(about);
  const problem = sessionStorage.getItem("problem");
  if (problem) document.getElementById("problem").textContent = `The last run failed: ${problem}`;
  const answer = await fetch("attend", { method: "POST", body: JSON.stringify({ page: ownName(), ...about }) });
  if (!answer.ok) return end(await answer.text());
  say("Ready. Waiting for the computer …");
  for await (const line of lines(answer.body)) {
    const event = JSON.parse(line);
    if (event.event === "over") return end(event.message, false);
    if (event.event === "refused") return end(event.message);
    if (event.event !== "job") continue;
    const problem = await work(event.job);
    sessionStorage.setItem("worked", "yes");
    sessionStorage.setItem("problem", problem);
    over = true; // what comes now is the next load's
    location.reload();
    return;
  }
  gone("");
}

function gone(why) {
  if (over) return;
  const done = sessionStorage.getItem("worked") !== null;
  const what = done ? "The computer has ended, or can't be reached" : "The computer can't be reached";
  end(`${what}${why}. Load this page again if it still asks for it.`, !done);
}

stayAwake();
attend().catch((error) => gone(` (${error.message})`));

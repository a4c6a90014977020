// What the page shows and says. It decides nothing.

const TOP = 3;
const SPEAK_EVERY_MS = 2500;
const UNSURE = "Not sure";

const element = (id) => document.getElementById(id);

// What each state is called, and what there is to do about it.
const STATES = {
  loading: ["Loading the model …", ""],
  ready: ["Ready", "Start the camera, or open a video, or drop one here."],
  asking: ["Waiting for the camera …", "The browser asks whether this page may use it."],
  opening: ["Opening the video …", ""],
  refused: ["The camera was refused", "Allow it for this page in the browser’s settings, then start it again. Or open a video."],
  none: ["There is no camera here", "Plug one in and start it again. Or open a video."],
  busy: ["The camera can’t be used", "Another program may hold it. Close that, then start it again. Or open a video."],
  lost: ["The camera is gone", "It was unplugged, or taken away from this page. Start it again, or open a video."],
  insecure: ["No camera for this page", "Browsers give a camera only to pages over HTTPS, or from localhost. A video can be opened."],
  unplayable: ["This video can’t be played", "Browsers play MP4 with H.264, and WebM. Convert it, or open another."],
  failed: ["The model can’t be loaded", ""],
};
const WRONG = new Set(["refused", "none", "busy", "lost", "insecure", "unplayable", "failed"]);

// A state without a picture; `detail` is shown in place of its own words, or after them.
export function cover(state, detail = "") {
  const [title, text] = STATES[state];
  document.body.dataset.state = state;
  document.body.dataset.shows = "cover";
  element("cover").hidden = false;
  element("cover").classList.toggle("wrong", WRONG.has(state));
  element("state").textContent = title;
  element("detail").textContent = [text, detail].filter(Boolean).join(" ");
  const canStart = state !== "loading" && state !== "failed";
  element("offers").hidden = ["loading", "asking", "opening"].includes(state);
  element("start").hidden = !canStart;
  element("open").hidden = !canStart;
  element("again").hidden = state !== "failed";
  element("start").disabled = element("open").disabled = !canStart;
  element("said").hidden = element("badge").hidden = true;
  answers(null, []);
  speak(`${title}. ${element("detail").textContent}`);
}

// A picture: `running`, `paused` or `ended`.
export function picture(state, { hasOther, isMirrored }) {
  const badges = { running: "", paused: "Paused", ended: "The video has ended" };
  const actions = { running: "Pause", paused: "Go on", ended: "Replay" };
  const before = document.body.dataset.state;
  document.body.dataset.state = state;
  document.body.dataset.shows = "picture";
  element("cover").hidden = true;
  element("said").hidden = false;
  element("badge").hidden = !badges[state];
  element("badge").textContent = badges[state];
  element("pause").textContent = actions[state];
  element("turn").hidden = !hasOther;
  element("video").classList.toggle("mirrored", isMirrored);
  if (before !== state) speak(badges[state] || "Running");
}

// Where in the picture the model looks: the middle square, `share` of its shorter side.
export function frame({ width, height }, share) {
  const stage = element("stage");
  stage.style.setProperty("--shape", `${width} / ${height}`);
  const place = () => {
    const { clientWidth, clientHeight } = stage;
    const scale = Math.min(clientWidth / width, clientHeight / height);
    const side = Math.min(width, height) * scale * share;
    stage.style.setProperty("--crop-side", `${side}px`);
    stage.style.setProperty("--crop-left", `${(clientWidth - side) / 2}px`);
    stage.style.setProperty("--crop-top", `${(clientHeight - side) / 2}px`);
  };
  placed?.disconnect();
  placed = new ResizeObserver(place);
  placed.observe(stage);
  place();
}
let placed = null;

// The answer, and the likeliest classes under it; null: none yet.
export function answers(answer, classes) {
  const list = element("top");
  if (answer === null) {
    list.replaceChildren(...Array.from({ length: TOP }, () => {
      const row = entry();
      row.querySelector(".name").textContent = "–";
      return row;
    }));
    list.classList.add("nothing");
    element("label").textContent = "Watching …";
    element("label").classList.add("unsure");
    element("sure").textContent = "";
    return;
  }
  const order = answer.probabilities.map((_, index) => index);
  order.sort((left, right) => answer.probabilities[right] - answer.probabilities[left] || left - right);
  const best = order.slice(0, TOP);
  list.classList.remove("nothing");
  while (list.children.length > best.length) list.lastElementChild.remove();
  best.forEach((index, place) => {
    const row = list.children[place] ?? list.appendChild(entry());
    const share = answer.probabilities[index];
    row.querySelector(".name").textContent = classes[index];
    row.querySelector(".share").textContent = percent(share);
    row.querySelector(".bar").style.setProperty("--share", share.toFixed(4));
    row.classList.toggle("is-said", index === answer.label);
  });
  const isSure = answer.label !== null;
  element("label").textContent = isSure ? classes[answer.label] : UNSURE;
  element("label").classList.toggle("unsure", !isSure);
  element("sure").textContent = isSure ? percent(answer.probability) : "";
  speak(isSure ? classes[answer.label] : UNSURE);
}

// What is measured: `[name, value]` each.
export function facts(rows) {
  const list = element("facts");
  rows.forEach(([name, value], place) => {
    let box = list.children[place];
    if (!box) {
      box = list.appendChild(document.createElement("div"));
      box.append(made("dt", "", name), made("dd", "", ""));
    }
    if (box.lastElementChild.textContent !== value) box.lastElementChild.textContent = value;
  });
}

// A line that stays until another takes its place; empty: none.
export function note(text) {
  element("note").hidden = !text;
  element("note").textContent = text;
}

// The engines to choose from: `{ id, name, why }` each, `why` where it can't be had.
export function engines(list, chosen) {
  element("engine").replaceChildren(...list.map(({ id, name, why }) => {
    const option = made("option", "", why ? `${name}: ${why}` : name);
    option.value = id;
    option.disabled = Boolean(why);
    option.selected = id === chosen;
    return option;
  }));
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

// For screen readers: the latest, and not more often than it can be listened to.
function speak(text) {
  if (text === spoken.text) return;
  spoken.text = text;
  clearTimeout(spoken.later);
  const say = () => {
    spoken.at = performance.now();
    element("announcer").textContent = text;
  };
  const wait = spoken.at + SPEAK_EVERY_MS - performance.now();
  if (wait <= 0) say();
  else spoken.later = setTimeout(say, wait);
}
const spoken = { text: "", at: -SPEAK_EVERY_MS, later: 0 };

function entry() {
  const row = document.createElement("li");
  const track = made("div", "track", "");
  track.setAttribute("aria-hidden", "true");
  track.append(made("div", "bar", ""));
  row.append(made("span", "name", ""), made("span", "share", ""), track);
  return row;
}

function made(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

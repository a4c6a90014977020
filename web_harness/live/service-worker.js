// Keeps the page for when there is no network: the files that it was made with, each held against its SHA-256. Of the
// builds of LiteRT.js, ten megabytes each, those that the page asks for.
//
// It gives them with the headers that a plain host doesn't send: nothing may be loaded or sent elsewhere, and the page may
// have threads, from its second visit on.

const VERSION = "@VERSION@";
const FILES = @FILES@;

const BUILD = "litert_wasm";
// Other pages of the same host have caches too: only those of this one's address are ours.
const OURS = `dvfl-mobile-live ${self.registration.scope} `;
const CACHE = `${OURS}${VERSION}`;
const HEADERS = {
  "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; media-src blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(tidy()));
self.addEventListener("fetch", (event) => {
  const name = nameOf(event.request);
  if (name !== null) event.respondWith(known(name));
});

self.addEventListener("message", (event) => {
  const [port] = event.ports;
  const answer = keep(event.data.keep).then(() => ({ problem: "" }), (error) => ({ problem: error.message }));
  event.waitUntil(answer.then((message) => port.postMessage(message)));
});

async function keepAll() {
  await keep(Object.keys(FILES).filter((name) => !name.startsWith(BUILD)));
  await self.skipWaiting();
}

async function keep(names) {
  for (const name of names) await known(name);
}

// A file of the page: from the cache, or fetched, and kept.
async function known(name) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(name);
  if (found) return found;
  const answer = await fetched(name, FILES[name]);
  await cache.put(name, answer.clone());
  return answer;
}

async function fetched(name, sha256) {
  const answer = await fetch(name, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${name} can't be had: ${answer.status}`);
  const bytes = await answer.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Error(`${name} isn't the file that this page was made with`);
  return new Response(bytes, { headers: { ...HEADERS, "Content-Type": typeOf(name) } });
}

async function tidy() {
  for (const name of await caches.keys()) {
    if (name.startsWith(OURS) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

function nameOf(request) {
  const { scope } = self.registration;
  if (request.method !== "GET" || !request.url.startsWith(scope)) return null;
  const name = request.url.slice(scope.length).split(/[?#]/, 1)[0] || "index.html";
  return Object.hasOwn(FILES, name) ? name : null;
}

function typeOf(name) {
  const types = {
    html: "text/html; charset=utf-8",
    js: "text/javascript; charset=utf-8",
    css: "text/css; charset=utf-8",
    wasm: "application/wasm",
    json: "application/json",
    webmanifest: "application/manifest+json",
    svg: "image/svg+xml",
    png: "image/png",
  };
  return types[name.split(".").pop()] ?? "application/octet-stream";
}

// Keeps the page for when there is no network, by its service worker.

// `features` are those of the engine that runs here: which of LiteRT.js's builds this browser takes. Ends when all that a
// later visit needs is kept; throws where that can't be.
export async function keep(features) {
  if (!navigator.serviceWorker) throw new Error("no service worker in this browser");
  await navigator.serviceWorker.register("service-worker.js");
  const { active } = await navigator.serviceWorker.ready;
  // The next visit is isolated by the service worker, and may have threads where this one hasn't.
  const builds = features.includes("relaxed_simd") ? ["", "_threaded"] : ["_compat"];
  const names = builds.flatMap((build) => ["js", "wasm"].map((ending) => `litert_wasm${build}_internal.${ending}`));
  const { port1, port2 } = new MessageChannel();
  const kept = new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data.problem);
  });
  active.postMessage({ keep: names }, [port2]);
  const problem = await kept;
  if (problem) throw new Error(problem);
}

// What this browser says of itself and of what it runs on.

export async function facts() {
  return {
    agent: navigator.userAgent.slice(0, 512),
    platform: (navigator.userAgentData?.platform ?? navigator.platform ?? "").slice(0, 64),
    cores: Math.max(1, navigator.hardwareConcurrency || 1),
    memory_mib: navigator.deviceMemory ? Math.round(navigator.deviceMemory * 1024) : null,
    isolated: globalThis.crossOriginIsolated === true,
    adapter: await adapter(),
  };
}

// The GPU by its own words, which some browsers keep to themselves; null where there is none for a page.
async function adapter() {
  try {
    const found = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
    if (!found) return null;
    const { vendor = "", architecture = "", description = "", isFallbackAdapter = false } = found.info ?? {};
    const cut = (text) => String(text).slice(0, 128);
    return {
      vendor: cut(vendor),
      architecture: cut(architecture),
      description: cut(description),
      fallback: isFallbackAdapter === true || found.isFallbackAdapter === true,
      half: found.features.has("shader-f16"),
    };
  } catch {
    return null;
  }
}

export function shown(about) {
  const gpu = about.adapter;
  const name = gpu && ([gpu.description, gpu.vendor, gpu.architecture].filter(Boolean).join(", ") || "not named");
  return [
    ["Browser", about.agent],
    ["Cores", String(about.cores)],
    ["Threads", about.isolated ? "yes" : "no"],
    ["WebGPU", gpu ? `${name}${gpu.half ? ", half precision" : ""}` : "none"],
  ];
}

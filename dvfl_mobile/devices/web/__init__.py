"""A browser as a device: a page that this tool serves runs artifacts by LiteRT.js, in WebAssembly or on WebGPU."""

// What a figure loads when it comes near the screen: weights, latents, a worker's program.
import { readTensors } from "../core/safetensors.mjs";
import { h } from "./dom.mjs";

// The bytes of an asset: from the page that hosts the figure, else from the kernel.
function fetchAsset(model, name) {
  if (model.asset) return model.asset(name);
  return new Promise((resolve, reject) => {
    const take = (content, [buffer] = []) => {
      if (content.asset !== name) return;
      clearTimeout(timer);
      model.off("msg:custom", take);
      resolve(new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength));
    };
    const timer = setTimeout(() => {
      model.off("msg:custom", take);
      reject(new Error(`no kernel sends ${name}`));
    }, 20_000);
    model.on("msg:custom", take);
    model.send({ asset: name });
  });
}

// Packed tensors are unpacked, other bytes (a WebAssembly module) stay bytes: the header of a
// safetensors file opens with a brace after its length.
const unpack = (bytes) => (bytes[8] === "{".charCodeAt(0) ? readTensors(bytes) : bytes);

// `sizes`: bytes of each asset, as far as known.  `say` is told how it goes, `ready(files)` is
// called when all are there.  `files` are bytes by name, `assets` what they hold; `retry` is a button
// for when it fails.
/**
 * @type {(wanted: string[], host: {
 *   model: any, sizes: Record<string, number>, say: (text: string) => void,
 *   ready: (files: Record<string, Uint8Array>) => void,
 * }) => {
 *   assets: Record<string, any>, missing: () => boolean, retry: any,
 *   whenNear: (element: any) => () => void,
 * }}
 */
export function loader(wanted, { model, sizes, say, ready }) {
  const [files, assets] = [{}, {}];
  const lacking = () => wanted.filter((name) => !files[name]);
  const retry = h("button", { type: "button", hidden: true, onclick: load }, "try again");

  async function load() {
    const size = lacking().reduce((sum, name) => sum + (sizes[name] ?? 0), 0);
    retry.hidden = true;
    say(`Loading the trained model (${Math.round(size / 1000)} kB) …`);
    try {
      await Promise.all(
        lacking().map(async (name) => {
          const bytes = await fetchAsset(model, name);
          assets[name] = unpack(bytes);
          files[name] = bytes;
        }),
      );
      ready(files);
    } catch {
      say("The trained model could not be loaded, so part of this figure stays empty.");
      retry.hidden = false;
    }
  }

  // The first picture does not wait for it; returns what ends the watch
  function whenNear(element) {
    const near = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      // Safari has no idle callback
      (globalThis.requestIdleCallback ?? setTimeout)(() => load());
    }, { rootMargin: "100%" });
    if (wanted.length) near.observe(element);
    return () => near.disconnect();
  }

  return { assets, missing: () => lacking().length > 0, retry, whenNear };
}

// The rendered page as a host: no kernel, so a small model holds the state, and assets come by
// classic scripts, which a page from disk may load.

// The part of anywidget's model that figures use, over a plain object.
export function pageModel(state, asset) {
  const values = structuredClone(state);
  const listeners = new Map();
  return {
    get: (name) => values[name],
    set(name, value) {
      values[name] = value;
      for (const listener of listeners.get(`change:${name}`) ?? []) listener();
    },
    on(event, listener) {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event).add(listener);
    },
    off: (event, listener) => listeners.get(event)?.delete(listener),
    save_changes() {},
    asset,
  };
}

// The bytes of a file beside the figure's script, each loaded once a page.
const loads = new Map();
function load(folder, name) {
  if (!loads.has(name)) {
    loads.set(
      name,
      new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `${folder}${name}.js`;
        script.onload = () => resolve(globalThis.ditAssets[name]);
        script.onerror = () => {
          loads.delete(name); // so that another try is one
          script.remove();
          reject(new Error(`${script.src} did not load`));
        };
        document.head.append(script);
      }),
    );
  }
  return loads.get(name);
}

// Draws every figure of this name in place of its picture; if that fails, the picture stays.
export function takeOver(name, figure) {
  const script = /** @type {HTMLScriptElement} */ (document.currentScript);
  const folder = script.src.replace(/[^/]*$/, "");
  for (const root of document.querySelectorAll(`.dit-figure[data-figure="${name}"]`)) {
    const state = JSON.parse(root.querySelector("script").textContent);
    const el = document.createElement("div");
    const picture = root.querySelector("img");
    picture.before(el);
    picture.classList.add("dit-print");
    try {
      const model = pageModel(state, (asset) => load(folder, `${name}-${asset}`));
      figure.render({ model, el });
    } catch (error) {
      el.remove();
      picture.classList.remove("dit-print");
      throw error;
    }
  }
}

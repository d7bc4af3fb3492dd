// The rendered page as a host: no kernel, so a small model holds the state.

// The part of anywidget's model that figures use, over a plain object.
export function pageModel(state) {
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
  };
}

// Draws the figure in place of its picture; if that fails, the picture stays.
export function takeOver(root, figure, state) {
  const el = document.createElement("div");
  const picture = root.querySelector("img");
  picture.before(el);
  picture.classList.add("dit-print");
  try {
    figure.render({ model: pageModel(state), el });
  } catch (error) {
    el.remove();
    picture.classList.remove("dit-print");
    throw error;
  }
}

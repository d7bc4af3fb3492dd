"""A page for measuring and testing: it opens from file://, and its worker trains a DiT."""

import base64
import json
from pathlib import Path

from dit_lesson.figures.linking import link_file
from dit_lesson.figures.training_assets import packed_decoder, packed_latents

CORE = Path(__file__).parents[1] / "dit_lesson" / "figures" / "core"
SCRIPT = """\
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
// With #page the trainer works on the page itself, behind a channel in a worker's place
const onPage = () => {
  const { port1, port2 } = new MessageChannel();
  new Function("globalThis", WORKER)(port2);
  return port1;
};
const blob = () => URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
const worker = location.hash === "#page" ? onPage() : new Worker(blob());
const waiting = [];
const heard = [];
worker.onerror = (event) => heard.push({ type: "error", message: event.message });
worker.onmessage = ({ data }) => {
  heard.push({ ...data, at: performance.now() });
  for (const wait of [...waiting]) {
    if (data.type !== wait.type && data.type !== "error") continue;
    waiting.splice(waiting.indexOf(wait), 1);
    data.type === "error" ? wait.reject(new Error(data.message)) : wait.resolve(heard.at(-1));
  }
};
// Sends a message and waits for an answer of a type; says how many milliseconds it took
const ask = (message, type) => {
  const start = performance.now();
  const answer = new Promise((resolve, reject) => waiting.push({ type, resolve, reject }));
  worker.postMessage(message);
  return answer.then((data) => ({ ...data, milliseconds: performance.now() - start }));
};
const open = (settings) =>
  ask({ type: "open", data: bytes(DATA), autoencoder: bytes(DECODER), ...settings }, "ready");
"""


def worker_text() -> str:
    """The training worker with all its modules as one script."""
    return link_file(CORE / "worker.mjs")


def write_page(folder: Path) -> Path:
    """engine.html in the folder, with the worker and the data in it."""
    values = {
        "WORKER": worker_text(),
        "DATA": base64.b64encode(packed_latents()).decode(),
        "DECODER": base64.b64encode(packed_decoder()).decode(),
    }
    constants = [f"const {name} = {json.dumps(value)};\n" for name, value in values.items()]
    path = folder / "engine.html"
    scripts = "".join(constants).replace("</", "<\\/") + SCRIPT
    path.write_text(f"<!doctype html><title>engine</title><script>{scripts}</script>", "utf-8")
    return path

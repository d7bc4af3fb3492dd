// Work beside the page, led by messages.

// Starts a program, the text of a worker that answers by messages: in a worker of its own, or, where
// the browser gives none, on the page behind a channel.  Some browsers say only later that they give
// none: what the worker was told before its first answer is then told again on the page.
// `hear(message)` is called with each answer.
/**
 * @type {(program: string, hear: (message: any) => void) =>
 *   { tell: (message: any) => void, onPage: () => boolean, stop: () => void }}
 */
export function startWork(program, hear) {
  let port;
  let stop;
  let onPage = false;
  /** @type {any[] | undefined} */ let untold = []; // undefined once the work answers
  const workHere = () => {
    const { port1, port2 } = new MessageChannel();
    new Function("globalThis", program)(port2);
    port1.onmessage = ({ data }) => hear(data);
    [port, stop, onPage] = [port1, () => port1.close(), true];
    for (const message of untold) port.postMessage(message);
    untold = undefined;
  };
  const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  try {
    const worker = new Worker(address);
    [port, stop] = [worker, () => worker.terminate()];
    worker.onmessage = ({ data }) => {
      untold = undefined;
      hear(data);
    };
    worker.onerror = () => {
      try {
        if (!untold) throw new Error("the worker broke down");
        workHere();
      } catch ({ message }) { // or the page may not run a text
        hear({ type: "error", message });
      }
    };
  } catch {
    workHere();
  } finally {
    URL.revokeObjectURL(address);
  }
  return {
    tell(message) {
      untold?.push(message);
      port.postMessage(message);
    },
    onPage: () => onPage,
    stop: () => stop(),
  };
}
